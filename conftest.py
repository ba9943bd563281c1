"""What the examples in docstrings find: an empty folder of their own, and the names that their first sentence explains.

The tests use the encoder, too.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import transfercast as tc
from tests.conftest import WORDS, sentences, write_csv
from transfercast.core.records import ALONE
from transfercast.core.table import INDEX, Column, Provenance, TargetFacts

NEEDED = {
    "attribution.conductance.term_conductance": ("pool",),
    "collection.collector.collect": ("tasks", "encoder"),
    "core.forecast.Forecast": ("history", "table"),
    "core.forecast.Forecast.to_frame": ("forecast",),
    "core.forecast.Forecast.why_for": ("forecast",),
    "core.plan.Plan": ("history", "table"),
    "core.plan.Plan.load": ("plan",),
    "core.plan.Plan.save": ("plan",),
    "core.plan.Plan.to_frame": ("plan",),
    "core.table.FeatureTable.load": ("table",),
    "core.table.FeatureTable.save": ("table",),
    "core.table.FeatureTable.with_recipes": ("table",),
    "execution.recommend.recommend": ("pool", "reviews"),
    "execution.search.search": ("pool", "reviews"),
    "features.extract.extract_features": ("pool", "reviews"),
    "features.fit_maps.fit_maps": ("pool",),
    "features.rank.rank_maps": ("pool", "reviews"),
    "history.store.History.export_file": ("history",),
    "planning.order.plan": ("history", "table"),
    "predictor.predictor.Predictor": ("history", "table"),
    "predictor.predictor.Predictor.fit": ("history",),
    "predictor.predictor.Predictor.load": ("history",),
    "predictor.predictor.Predictor.predict": ("history", "table"),
    "predictor.predictor.Predictor.save": ("history",),
    "retraining.retrain.train_meta": ("history",),
    "sharing.hub.pull": ("meta", "hub"),
    "sharing.hub.push": ("pool", "hub"),
    "sources.pool.SourcePool": ("pool",),
    "sources.pool.SourcePool.adopt": ("pool", "encoder"),
    "sources.pool.SourcePool.load": ("pool",),
}
"""The names that each example uses besides its own."""

FAST = tc.Recipe(learning_rate=1e-2, epochs=1, batch_size=8, max_tokens=16)
LOGME = Column(name="logme", measure="logme", version=1, better="higher", group="embeddings")
FIT = {"news": 0.1, "tweets": 0.9, "forum": 0.6, "recipes": 0.3}
"""LogME of each source on every target, without noise."""


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory) -> Path:
    """A two-layer BERT of 16 dimensions with random weights and a word-piece vocabulary."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##ing", ".", ",", "!"]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _example(request):
    """Give an example a working folder, which is deleted afterwards, and its names."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    folder, namespace = request.getfixturevalue("tmp_path"), request.getfixturevalue("doctest_namespace")
    patch = request.getfixturevalue("monkeypatch")
    patch.chdir(folder)
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    patch.setenv("XDG_DATA_HOME", str(folder / "data"))
    names = NEEDED.get(request.node.name.removeprefix("transfercast."), ())
    namespace.update({name: request.getfixturevalue(f"example_{name}") for name in names})
    yield
    for name in names:
        del namespace[name]
    patch.undo()  # leaves the folder
    shutil.rmtree(folder)


@pytest.fixture
def example_history() -> tc.History:
    """Twenty-four transfers to six targets, whose gain follows LogME."""
    rng = np.random.default_rng(0)
    history = tc.History("sqlite://")
    for number in range(6):
        alone = 0.5 + 0.04 * number
        logme = {source: value + rng.normal(0, 0.05) for source, value in FIT.items()}
        scores = {ALONE: alone} | {source: alone + 0.2 * (value - 0.4) for source, value in logme.items()}
        history.append(
            [_observed(f"target-{number}", source, score, logme.get(source)) for source, score in scores.items()], [LOGME]
        )
    return history


def _observed(target: str, source: str, score: float, logme: float | None) -> tc.Observation:
    return tc.Observation(
        source=source, target=target, recipe="full", encoder="offline", seed=0, metric="accuracy", split="validation",
        score=score, hours=0.1, features={} if logme is None else {"logme": logme},
    )  # fmt: skip


@pytest.fixture
def example_table() -> tc.FeatureTable:
    """LogME of the history's sources for a target that it does not hold."""
    index = pd.MultiIndex.from_tuples([(source, "reviews", "full") for source in FIT], names=INDEX)
    facts = TargetFacts(fingerprint="", metric="accuracy", train_rows=300, score=0.6, seconds_per_row_epoch=0.05)
    about = Provenance(encoder="offline", targets={"reviews": facts})
    return tc.FeatureTable(pd.DataFrame({"logme": FIT.values()}, index=index, dtype=float), (LOGME,), about)


@pytest.fixture
def example_forecast(example_history, example_table) -> tc.Forecast:
    """What the history lets expect of the table's candidates."""
    return tc.Predictor.fit(example_history).predict(example_table)


@pytest.fixture
def example_plan(example_forecast, example_table) -> tc.Plan:
    """The target alone, and the two best of its transfers."""
    return tc.plan(example_forecast, example_table, tc.Budget(trials=2))


@pytest.fixture(scope="session")
def _pool_folder(tmp_path_factory, tiny_encoder) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    files = [write_csv(folder / f"{name}.csv", sentences(60, name, seed=1)) for name in ("help", "storm")]
    tc.SourcePool.fit(folder / "pool", [tc.Task.from_csv(file) for file in files], encoder=str(tiny_encoder), recipe=FAST)
    return folder / "pool"


@pytest.fixture
def example_pool(tmp_path, _pool_folder) -> tc.SourcePool:
    """The folder `pool` with two sources."""
    shutil.copytree(_pool_folder, tmp_path / "pool")
    return tc.SourcePool.load(tmp_path / "pool")


@pytest.fixture
def example_reviews(tmp_path) -> tc.Task:
    """A target of sixty rows."""
    return tc.Task.from_csv(write_csv(tmp_path / "reviews.csv", sentences(60, "good", seed=2)))


@pytest.fixture
def example_encoder(tiny_encoder) -> str:
    """The folder of a base encoder."""
    return str(tiny_encoder)


@pytest.fixture
def example_tasks(tmp_path) -> None:
    """Two files with rows of tasks."""
    for name in ("help", "storm"):
        write_csv(tmp_path / f"{name}.csv", sentences(60, name, seed=1))


@pytest.fixture
def example_meta(tmp_path, example_history) -> None:
    """The folder `meta` with a predictor."""
    tc.train_meta(example_history, tmp_path / "meta", minutes=0)


@pytest.fixture
def example_hub(tmp_path, monkeypatch) -> None:
    """The hub, as a folder."""
    import huggingface_hub  # reads the environment, which tests.conftest sets

    def create_repo(_: Any, repo: str, **__: Any) -> str:
        return f"https://huggingface.co/{repo}"

    def upload_folder(_: Any, *, repo_id: str, folder_path: Path, **__: Any) -> None:
        shutil.copytree(folder_path, tmp_path / "hub" / repo_id)

    def snapshot_download(repo: str, *, local_dir: Path, **_: Any) -> None:
        shutil.copytree(tmp_path / "hub" / repo, local_dir, dirs_exist_ok=True)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
