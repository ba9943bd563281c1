"""What the peers do, run by the interpreter of an environment in which they are installed; nothing of ours is imported.

PYTHON benchmarks/peers.py JOB INPUT OUTPUT        jobs: logme, maps, ranker; started by benchmarks.logme, .esm and .rankers
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from importlib.metadata import version

import numpy as np


def seconds(run, times):
    """Median, after one run that is not counted (numba compiles in it)."""
    value, found = run(), []
    for _ in range(times):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return float(np.median(found)), float(value)


def logme(given):
    """Both peers' LogME of (n, d) float64 features and class numbers."""
    import torch
    from hfselect.logme import LogME as Selector
    from transformer_ranker.estimators import LogME as Ranker

    features, labels = given["features"], given["labels"]
    tensors = torch.as_tensor(features), torch.as_tensor(labels)
    return {
        "hf-dataset-selector": seconds(lambda: Selector().fit(features, labels), 5),
        "transformer-ranker": seconds(lambda: Ranker().fit(*tensors), 5),
    }


def maps(given):
    """hf-dataset-selector's loop over maps (its compute_scores after the base model's pass): embed in batches, LogME."""
    import torch
    from hfselect import ESM
    from hfselect.logme import LogME

    base, labels, folders = torch.as_tensor(given["base"]), given["labels"], [str(path) for path in given["folders"]]
    LogME().fit(np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 2)  # numba compiles
    scores, started = [], time.perf_counter()
    for folder in folders:
        esm = ESM.from_pretrained(folder)
        with torch.no_grad():
            mapped = np.vstack([esm(batch).numpy() for batch in torch.split(base, 128)])
        scores.append(float(LogME().fit(mapped, labels)))
    return {"seconds": time.perf_counter() - started, "scores": scores}


def ranker(given):
    """transformer-ranker's three estimators over models on disk, for labelled texts."""
    from datasets import Dataset
    from transformer_ranker import TransformerRanker

    texts, models = [str(text) for text in given["texts"]], [str(model) for model in given["models"]]
    data = Dataset.from_dict({"text": texts, "label": given["labels"].tolist()})
    found = {}
    for estimator in ("logme", "hscore", "knn"):
        started = time.perf_counter()
        ranking = TransformerRanker(data, text_column="text", label_column="label")
        result = ranking.run(models, estimator=estimator, layer_aggregator="lastlayer", device="cpu")
        found[estimator] = {"seconds": time.perf_counter() - started, "scores": dict(result.scores)}
    return found


if __name__ == "__main__":
    job, source, out = sys.argv[1:]
    source, out = os.path.abspath(source), os.path.abspath(out)
    os.chdir(tempfile.mkdtemp())  # hf-dataset-selector writes its log where it is run
    with np.load(source) as loaded, contextlib.redirect_stdout(sys.stderr):
        result = {"logme": logme, "maps": maps, "ranker": ranker}[job](loaded)
    result["versions"] = {name: version(name) for name in ("hf-dataset-selector", "transformer-ranker", "numpy", "torch")}
    with open(out, "w") as file:
        json.dump(result, file)
