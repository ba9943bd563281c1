"""Term conductance against Captum, and against a quadrature of 3,000 nodes, on real documents.

python -m benchmarks.conductance [--label gratitude]
    16 documents of GoEmotions' test split that are positive for the label; a one-vs-rest classifier is fine-tuned from the
    offline encoder and cached. Last line: {"parity": ..., "speedup_default": ..., ...}

python -m benchmarks.conductance --random 12x768 --device cuda
    Speed alone, with a BERT of random weights: also the share of the device's matrix rate that the passes reach.

The data are read from $TRANSFERCAST_DATA, or ../shared/data. Captum runs in the same process, on the same documents and
threads, a document at a time with its defaults (all steps in one batch), layer after layer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import peak_mb
from transfercast.attribution.ansat import THRESHOLDS
from transfercast.attribution.captum_engine import conductance_in_steps
from transfercast.attribution.conductance import Conductance, term_conductance
from transfercast.attribution.layers import frozen, layers_of
from transfercast.attribution.path import FLOOR
from transfercast.attribution.states import Encoded, Reader
from transfercast.attribution.words import words_of
from transfercast.core.cache import ArrayCache, fingerprint
from transfercast.core.records import Recipe
from transfercast.sources.encoders import checkpoint_folder, load_tokenizer
from transfercast.sources.models import load_model

DATA = Path(os.environ.get("TRANSFERCAST_DATA", Path(__file__).parents[2] / "shared" / "data"))
RECIPE, SEED, DOCUMENTS, MAX_TOKENS, TOLERANCE = Recipe(), 0, 16, 64, 0.02
STEPS, REFERENCE_NODES = 50, 3000
REFERENCE_VERSION = 2


def classifier(label: str) -> tuple[Any, Any, list[str], str]:
    """Model, tokenizer, positive test documents, and the fingerprint of the weights."""
    from platformdirs import user_cache_path

    from transfercast.sources.pool import SourcePool
    from transfercast.tasks.family import read_task
    from transfercast.tasks.spec import TaskSpec

    folder = DATA / "multilabel" / "goemotions"
    splits = {split: str(folder / f"{split}.csv") for split in ("train", "validation", "test")}
    about = {"name": label, "kind": "multilabel", "labels": [label], "label": label, "positive_share": 0.5}
    task = read_task(TaskSpec(**about, **splits, rows={"train": 2500, "validation": 500}))
    pool = user_cache_path("transfercast") / "benchmarks" / "conductance"
    source = SourcePool.fit(pool, [task], recipe=RECIPE, seed=SEED)[label]
    test = task.splits["test"]
    positive = [test.texts[row] for row in task.positives(test)]
    rows = np.random.default_rng(SEED).choice(len(positive), DOCUMENTS, replace=False)
    print(f"{label}: F1 {source.scores['test']:.3f} on {len(test.texts)} test rows, {len(positive)} of them positive")
    model, tokenizer = load_model(source.checkpoint, source.kind), load_tokenizer(source.checkpoint)
    return model, tokenizer, [positive[row] for row in rows], source.fingerprint


def seconds(run: Callable[[], Any], times: int = 1, device: str = "cpu") -> float:
    """Median of some runs."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return float(np.median(found))


def reader_of(model: Any, tokenizer: Any, texts: Sequence[str]) -> Reader:
    return Reader(model, tokenizer, texts, [1] * len(texts), layers_of(model), MAX_TOKENS, False, 8192)


def at_captums_nodes(reader: Reader, document: Encoded, steps: int) -> np.ndarray:
    """(L, T) from our passes by Captum's rule: its nodes, and the gradient of F at the left end of each step."""
    from captum.attr._utils.approximation_methods import approximation_parameters

    nodes = approximation_parameters("gausslegendre")[1](steps + 1)
    states = dict(reader.states([(document, node) for node in nodes]))
    total: Any = 0
    for a, b in pairwise(range(len(nodes))):
        f = 1 / (1 + np.exp(-states[a].log_odds))
        total = total + f * (1 - f) * states[a].gradient * (states[b].hidden - states[a].hidden)
    return np.asarray(total.sum(-1).double().cpu().numpy())


def completeness(pieces: np.ndarray, change: float) -> float:
    """Of the worst layer."""
    return float(np.abs(pieces.sum(1) - change).max() / abs(change))


def reference(model: Any, tokenizer: Any, text: str) -> np.ndarray:
    """(L, T) by the definition: plain probabilities, hidden states as the model tells them, trapezoids, 3,000 nodes."""
    encoded = tokenizer([text], truncation=True, max_length=MAX_TOKENS, return_tensors="pt", return_special_tokens_mask=True)
    ids, special, others = encoded.pop("input_ids"), encoded.pop("special_tokens_mask").bool(), dict(encoded)
    table = model.get_input_embeddings()
    start, end = table(torch.where(special, ids, tokenizer.pad_token_id)).detach(), table(ids).detach()
    nodes, chunk = torch.linspace(0, 1, REFERENCE_NODES), 60
    total, last = 0.0, None
    for part in nodes.split(chunk):
        embedded = (start + part[:, None, None] * (end - start)).requires_grad_(True)
        masks = {name: values.expand(len(part), -1) for name, values in others.items()}
        out = model(inputs_embeds=embedded, **masks, output_hidden_states=True)
        hidden = torch.stack(out.hidden_states[1:])
        gradient = torch.stack(torch.autograd.grad(out.logits.softmax(-1)[:, 1].sum(), out.hidden_states[1:]))
        h, g = hidden.detach(), gradient
        if last is not None:
            h, g = torch.cat([last[0], h], 1), torch.cat([last[1], g], 1)
        total = total + ((g[:, 1:] + g[:, :-1]) / 2 * (h[:, 1:] - h[:, :-1])).double().sum((1, 3))
        last = (h[:, -1:], g[:, -1:])
    return np.asarray(total.numpy())


def decisions_that_differ(
    texts: Sequence[str], found: Sequence[Conductance], documents: Sequence[Encoded], pieces: Any
) -> float:
    """Share of (term, threshold) pairs whose activity decision, in units of F, differs from the reference's."""
    differ, all_decisions = 0, 0
    for text, one, document, exact in zip(texts, found, documents, pieces, strict=True):
        words = np.zeros((len(exact), len(words_of(text, False))))
        for position, word in enumerate(document.pieces):
            if word >= 0:
                words[:, word] += exact[:, position]
        expected = words[words.any(axis=1)].mean(0)  # the last layer of a head on [CLS] alone has nothing to say
        thresholds = np.array(THRESHOLDS)[:, None]
        differ += int(((one.activity() >= thresholds) != (expected >= thresholds)).sum())
        all_decisions += expected.size * len(THRESHOLDS)
    print(f"activity decisions that differ from {REFERENCE_NODES} nodes: {differ} of {all_decisions}")
    return differ / all_decisions


def captum_steps_for(reader: Reader, documents: Sequence[Encoded], changes: Sequence[float], error: float) -> int:
    """The fewest of 50, 62, 78, ... steps at which Captum's median worst-layer error is as small; by our passes."""
    steps = STEPS
    while True:
        errors = [completeness(at_captums_nodes(reader, d, steps), c) for d, c in zip(documents, changes, strict=True)]
        print(f"  Captum's rule, {steps} steps: median error {np.median(errors):.4f}")
        if np.median(errors) <= error:
            return steps
        steps = steps * 5 // 4


def measured(label: str) -> dict[str, float]:
    """All figures on real documents."""
    model, tokenizer, texts, weights = classifier(label)
    ours = term_conductance(model, tokenizer, texts, tolerance=TOLERANCE, max_tokens=MAX_TOKENS)
    changes = [one.change for one in ours]
    errors = [float(one.completeness.max() * max(abs(one.change), FLOOR) / abs(one.change)) for one in ours]
    evaluations = [one.evaluations for one in ours]
    print(f"ours: {np.median(evaluations):.0f} evaluations a document (median; largest {max(evaluations)}), ", end="")
    print(f"error {np.median(errors):.4f} (largest {max(errors):.4f})")
    ours_s = seconds(lambda: term_conductance(model, tokenizer, texts, tolerance=TOLERANCE, max_tokens=MAX_TOKENS), 5)

    with frozen(model, tokenizer.pad_token_id):
        reader = reader_of(model, tokenizer, texts)
        documents = reader.documents()
        key = fingerprint(version=REFERENCE_VERSION, weights=weights, texts=texts, nodes=REFERENCE_NODES)
        exact = ArrayCache().get("reference", key, lambda: [reference(model, tokenizer, text) for text in texts])
        by_captum: list[np.ndarray] = []
        captum_s = seconds(lambda: by_captum.extend(conductance_in_steps(reader, d, STEPS)[0] for d in documents), 3)
        mine = [at_captums_nodes(reader, document, STEPS) for document in documents]
        parity = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(mine, by_captum, strict=False))
        captum_errors = [completeness(pieces, change) for pieces, change in zip(by_captum, changes, strict=False)]
        steps = captum_steps_for(reader, documents, changes, float(np.median(errors)))
        matched_s = seconds(lambda: [conductance_in_steps(reader, document, steps) for document in documents])

    low: list[Conductance] = []
    options: Any = {"tolerance": TOLERANCE, "max_tokens": MAX_TOKENS, "precision": "bfloat16"}
    low_s = seconds(lambda: low.extend(term_conductance(model, tokenizer, texts, **options)))
    print(
        f"bfloat16: {low_s / ours_s:.2f} of the float32 time, {sum(one.within_tolerance for one in low)} within; its ", end=""
    )
    decisions_that_differ(texts, low, documents, exact)
    print(f"seconds: ours {ours_s:.2f}, Captum at {STEPS} steps {captum_s:.2f}, at {steps} steps {matched_s:.2f}")
    return {
        "parity": parity,
        "completeness_median": float(np.median(errors)),
        "completeness_captum": float(np.median(captum_errors)),
        "within_tolerance": float(np.mean([one.within_tolerance for one in ours])),
        "evaluations_median": float(np.median(evaluations)),
        "speedup_default": captum_s / ours_s,
        "speedup_matched": matched_s / ours_s,
        "activity_disagreement": decisions_that_differ(texts, ours, documents, exact),
        "memory_growth": memory_growth(label),
        "captum_steps_matched": steps,
        "bfloat16_time": low_s / ours_s,
    }


def memory_growth(label: str) -> float:
    """Peak memory of a process that takes 1,024 documents over that of one that takes 64 of them."""
    peaks = []
    for number in (64, 1024):
        command = [sys.executable, "-m", "benchmarks.conductance", "--label", label, "--peak", str(number)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks.append(json.loads(told.splitlines()[-1])["peak_mb"])
    print(f"peak memory: {peaks[0]:.0f} MB for 64 documents, {peaks[1]:.0f} MB for 1,024")
    return float(peaks[1] / peaks[0])


def peak(label: str, number: int) -> dict[str, float]:
    """Peak memory of this process after so many of GoEmotions' test documents."""
    model, tokenizer, _, _ = classifier(label)
    texts = pd.read_csv(DATA / "multilabel" / "goemotions" / "test.csv")["text"]
    rows = np.random.default_rng(SEED).permutation(1024)[:number]
    term_conductance(model, tokenizer, [texts[row] for row in rows], tolerance=TOLERANCE, max_tokens=MAX_TOKENS)
    return {"peak_mb": peak_mb()}


def random_model(size: str, device: str) -> dict[str, float]:
    """Speed alone, of a BERT of random weights, LAYERSxWIDTH."""
    from transformers import BertConfig, BertForSequenceClassification

    layers, width = map(int, size.split("x"))
    tokenizer = load_tokenizer(checkpoint_folder("offline"))
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=max(1, width // 64),
        intermediate_size=4 * width, initializer_range=0.05,
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval().to(device)
    words = list(tokenizer.get_vocab())[5000:6000]
    rng = np.random.default_rng(SEED)
    texts = [" ".join(rng.choice(words, int(rng.integers(8, 40)))) for _ in range(DOCUMENTS)]

    def run() -> list[Conductance]:
        return term_conductance(model, tokenizer, texts, tolerance=TOLERANCE, max_tokens=MAX_TOKENS)

    found = run()
    ours_s = seconds(run, 3, device)
    with frozen(model, tokenizer.pad_token_id):
        reader = reader_of(model, tokenizer, texts)
        documents = reader.documents()
        conductance_in_steps(reader, documents[0], STEPS)
        captum_s = seconds(lambda: [conductance_in_steps(reader, document, STEPS) for document in documents], 1, device)
    tokens = sum(one.evaluations * len(document) for one, document in zip(found, documents, strict=True))
    operations = tokens * 2 * 12 * width**2 * (2 * layers - 1)  # multiply-adds of the layers' matrices, forward and backward
    square = torch.randn(4096, 4096, device=device)
    matrix_s = seconds(lambda: square @ square, 5, device)
    reached = operations / ours_s / (2 * 4096**3 / matrix_s)
    print(f"ours {ours_s:.3f} s, {np.mean([one.evaluations for one in found]):.1f} evaluations each; Captum {captum_s:.2f} s")
    return {
        "speedup_default": captum_s / ours_s,
        "share_of_matrix_rate": reached,
        "evaluations": tokens / sum(map(len, documents)),
    }


def versions(device: str) -> dict[str, Any]:
    found: dict[str, Any] = {"seed": SEED, "threads": torch.get_num_threads(), "device": device}
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
    for name in ("torch", "transformers", "captum", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def main() -> None:
    """Measure, print for people, and end with a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", default="gratitude")
    parser.add_argument("--random", metavar="LAYERSxWIDTH")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--peak", type=int, metavar="DOCUMENTS", help="only take so many documents and tell the peak memory")
    args = parser.parse_args()
    if args.peak:
        print(json.dumps(peak(args.label, args.peak)))
        return
    figures = random_model(args.random, args.device) if args.random else measured(args.label)
    rounded = {name: float(f"{value:.4g}") for name, value in figures.items()}
    print(json.dumps({**rounded, "label": None if args.random else args.label, "versions": versions(args.device)}))


if __name__ == "__main__":
    main()
