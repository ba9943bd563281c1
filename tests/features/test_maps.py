"""ESM-LogME of many maps: the same as mapping every row, the same ranking as hf-dataset-selector's own package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.conftest import sentences, write_csv
from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError, ShapeError
from transfercast.core.records import Recipe
from transfercast.features.fit_maps import fit_maps
from transfercast.features.maps import MappedTarget, score_maps
from transfercast.features.measures.logme import logme
from transfercast.features.rank import rank_maps
from transfercast.sources.esm import MapCard, SpaceMap
from transfercast.sources.pool import SourcePool, adopt
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Task


def random_map(rng, d, e, scale=1.0):
    return SpaceMap(
        (np.eye(e, d) + scale * rng.normal(size=(e, d)) / np.sqrt(d)).astype(np.float32), rng.normal(size=e).astype(np.float32)
    )


@pytest.mark.parametrize(("n", "d", "e"), [(200, 12, 12), (200, 12, 7), (200, 12, 20), (10, 12, 12), (12, 12, 12)])
def test_the_score_of_a_map_is_logme_of_the_rows_mapped(n, d, e):
    rng = np.random.default_rng(n + e)
    base = rng.normal(size=(n, d)) + 5 * rng.normal(size=d)
    labels = (base[:, 0] - base[:, 0].mean() + rng.normal(size=n) > 0).astype(int)
    target = MappedTarget.of(base, labels)
    for _ in range(5):
        found = random_map(rng, d, e)
        assert target.esm_logme(found) == pytest.approx(logme(found(base), labels), abs=1e-5)


def test_labels_without_noise_are_scored_in_float64():
    rng = np.random.default_rng(1)
    base = rng.normal(size=(60, 5))
    found = random_map(rng, 5, 5)
    target = MappedTarget.of(base, found(base)[:, 0].astype(np.float64) + 1e-4 * rng.normal(size=60))
    assert target.esm_logme(found) == pytest.approx(logme(found(base), target.values), abs=1e-3)
    assert target.esm_logme(found) > 5


def test_a_map_of_another_width_is_refused():
    target = MappedTarget.of(np.random.default_rng(0).normal(size=(9, 3)), np.arange(9) % 2)
    with pytest.raises(ShapeError, match="a map of 4 dimensions for a base encoder of 3"):
        target.esm_logme(random_map(np.random.default_rng(0), 4, 4))


def test_a_damaged_map_is_told_and_the_others_are_scored(tmp_path):
    rng = np.random.default_rng(2)
    for name in ("a", "b", "c"):
        random_map(rng, 4, 4).save(tmp_path / name, base_model="x", task=name, pooling="mean")
    (tmp_path / "b" / "model.safetensors").write_bytes(b"nonsense")
    target = MappedTarget.of(rng.normal(size=(30, 4)), np.arange(30) % 2)
    found = dict(score_maps(target, {name: tmp_path / name for name in "abc"}, jobs=2))
    assert isinstance(found["a"], float)
    assert isinstance(found["c"], float)
    assert "b/model.safetensors cannot be read" in str(found["b"])


@pytest.mark.parametrize(
    ("about", "model_type", "expected"),
    [
        ({"base_model_name": "bert-base-multilingual-uncased"}, "bert", "pooler"),
        ({"base_model_name": "sentence-transformers/all-MiniLM-L6-v2"}, "bert", "mean"),
        ({"base_model_name": "roberta-base"}, "roberta", "cls"),
        ({"base_model_name": "offline", "transfercast_pooling": "mean"}, "bert", "mean"),
    ],
)
def test_a_map_says_what_it_was_fitted_on_or_its_encoder_does(tmp_path, about, model_type, expected):
    (tmp_path / "config.json").write_text(json.dumps({"task_id": "t", "esm_architecture": "linear", **about}))
    config = type("Config", (), {"model_type": model_type})
    assert MapCard.read(tmp_path).pooling_for(config) == expected


@pytest.fixture(scope="module")
def pool(tmp_path_factory, family_toml, tiny_encoder):
    recipe = Recipe(learning_rate=1e-2, epochs=4, batch_size=8, max_tokens=16)
    sources = read_family(family_toml).sources
    return SourcePool.fit(tmp_path_factory.mktemp("pool"), sources, encoder=str(tiny_encoder), recipe=recipe)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    return Task.from_csv(write_csv(folder / "reviews.csv", sentences(80, "storm", seed=5)), text="text", label="label")


@pytest.fixture(scope="module")
def maps(tmp_path_factory, pool):
    folder = tmp_path_factory.mktemp("maps")
    fit_maps(pool, folder, pooling="pooler", cache=ArrayCache(tmp_path_factory.mktemp("cache")))
    return folder


PEER = """
import json, sys
from pathlib import Path
from datasets import Dataset as Rows
from hfselect import ESM, Dataset
from hfselect.esm_logme import compute_scores
from transformers import AutoModel, AutoTokenizer
given = json.loads(Path(sys.argv[1]).read_text())
rows = Dataset(Rows.from_dict({"text": given["texts"], "label": given["labels"]}), "text", "label", False)
esms = [ESM.from_pretrained(path) for path in given["maps"]]
base = AutoModel.from_pretrained(given["encoder"])
tokenizer = AutoTokenizer.from_pretrained(given["encoder"], model_max_length=64)
rows.collate_fn = lambda batch, tokenizer: Dataset.collate_fn(rows, batch, tokenizer=tokenizer, max_length=32)
print("scores:", json.dumps(compute_scores(rows, base, esms, tokenizer)))
"""


@pytest.mark.skipif(find_spec("hfselect") is None, reason="needs hf-dataset-selector; make install puts it there")
def test_the_same_maps_are_ranked_as_hf_dataset_selector_ranks_them(maps, reviews, tiny_encoder, tmp_path):
    found = rank_maps(reviews, maps, jobs=1, cache=ArrayCache(tmp_path / "cache"))
    seen = reviews.seen
    given = {
        "texts": list(seen.texts), "labels": [int(label) for label in seen.labels], "encoder": str(tiny_encoder),
        "maps": [str(maps / name) for name in found.scores],
    }  # fmt: skip
    (tmp_path / "given.json").write_text(json.dumps(given))
    command = [sys.executable, "-c", PEER, str(tmp_path / "given.json")]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    theirs = json.loads(told.split("scores:")[-1])
    assert len(set(theirs)) == 3
    assert theirs == sorted(theirs, reverse=True)
    np.testing.assert_allclose(list(found.scores.values()), theirs, atol=0.01)


def test_a_source_read_with_its_head_is_not_taken_for_its_encoder(pool, tmp_path):
    cache = ArrayCache(tmp_path / "cache")
    fit_maps(pool, tmp_path / "mean", cache=cache)
    fit_maps(pool, tmp_path / "pooler", pooling="pooler", cache=cache)
    assert not np.allclose(SpaceMap.load(tmp_path / "mean" / "good").weight, SpaceMap.load(tmp_path / "pooler" / "good").weight)


def test_maps_of_several_encoders_need_a_choice(tmp_path, reviews):
    for name in ("one", "two"):
        random_map(np.random.default_rng(0), 4, 4).save(tmp_path / name, base_model=name, task=name, pooling="mean")
    with pytest.raises(InputError, match=r"maps of 2 encoders \(one, two\)"):
        rank_maps(reviews, tmp_path)
    with pytest.raises(InputError, match="no maps"):
        rank_maps(reviews, tmp_path / "one")


def test_sources_without_a_task_get_no_map(pool, tmp_path, caplog):
    adopt(tmp_path / "pool", "other", str(pool["storm"].checkpoint))
    with pytest.raises(InputError, match="adopted without its task"):
        fit_maps(SourcePool.load(tmp_path / "pool"), tmp_path / "maps")
    assert "source other is left out: it was adopted without its task" in caplog.text


def test_a_source_that_cannot_be_read_gets_no_map_and_the_others_do(pool, tmp_path, caplog):
    shutil.copytree(pool.folder, tmp_path / "pool")
    (tmp_path / "pool" / "sources" / "help" / "model.safetensors").write_bytes(b"nonsense")
    written = fit_maps(SourcePool.load(tmp_path / "pool"), tmp_path / "maps", rows=8, cache=ArrayCache(tmp_path / "cache"))
    assert [path.name for path in written] == ["good", "storm"]
    assert "source help is left out" in caplog.text


def test_maps_that_are_of_no_use_are_left_out_each_with_its_reason(maps, reviews, tmp_path, caplog):
    folder = tmp_path / "maps"
    shutil.copytree(maps, folder)
    zero = SpaceMap(np.zeros((16, 16), dtype=np.float32), np.ones(16, dtype=np.float32))
    huge = SpaceMap(np.full((16, 16), 3e38, dtype=np.float32), np.ones(16, dtype=np.float32))
    base = MapCard.read(folder / "good").base_model
    zero.save(folder / "zero", base_model=base, task="zero", pooling="mean")
    huge.save(folder / "huge", base_model=base, task="huge", pooling="mean")
    for name in ("nan", "gone", "of-a-list"):
        shutil.copytree(folder / "good", folder / name)
    save_file({"weight": np.full((16, 16), np.nan), "bias": np.ones(16)}, folder / "nan" / "model.safetensors")
    (folder / "gone" / "model.safetensors").unlink()
    config = json.loads((folder / "of-a-list" / "config.json").read_text())
    (folder / "of-a-list" / "config.json").write_text(json.dumps(config | {"base_model_name": ["bert"]}))
    found = rank_maps(reviews, folder, jobs=1, cache=ArrayCache(tmp_path / "cache"))
    assert set(found.scores) == {"good", "help", "storm"}
    assert set(found.failed) == {"zero", "huge", "nan", "gone", "of-a-list"}
    assert "to the same point" in found.failed["zero"]
    assert all(f"map {name} is left out" in caplog.text for name in found.failed)


def test_an_encoder_that_hf_dataset_selector_does_not_know_costs_only_the_maps_that_do_not_say_their_pooling(
    maps, reviews, tmp_path, monkeypatch
):
    folder = tmp_path / "maps"
    shutil.copytree(maps, folder)
    config = json.loads((folder / "good" / "config.json").read_text())
    del config["transfercast_pooling"]
    (folder / "good" / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("transfercast.features.rank.load_config", lambda folder: SimpleNamespace(model_type="electra"))
    found = rank_maps(reviews, folder, jobs=1, cache=ArrayCache(tmp_path / "cache"))
    assert set(found.scores) == {"help", "storm"}
    assert "no pooling for electra" in found.failed["good"]
