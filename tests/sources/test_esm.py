"""Embedding space maps: the closed form against scikit-learn, against the paper's recipe, and on disk."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from transfercast.cli import app
from transfercast.core.errors import ArtifactError, InputError, ShapeError
from transfercast.sources.esm import PENALTIES, MapCard, SpaceMap, fit_adam, fit_ridge
from transfercast.sources.hub_maps import fetch_maps


def texts(n, d=6, e=5, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(e, d)), rng.normal(size=e)
    base = rng.normal(size=(n, d)) * np.linspace(0.2, 2, d)
    return base, base @ weight.T + bias + noise * rng.normal(size=(n, e))


@pytest.mark.parametrize("n", [4, 40])
def test_the_map_is_ridge_regression_with_the_least_error_of_rows_left_out(n):
    from sklearn.linear_model import Ridge

    base, tuned = texts(n)
    squares = np.linalg.svd(base - base.mean(0), compute_uv=False) ** 2

    def left_out(penalty):
        errors = []
        for row in range(n):
            rest = np.arange(n) != row
            centre = base[rest].mean(0)  # the leverage formula leaves a row out of the means as well
            found = Ridge(alpha=penalty).fit(base[rest] - centre, tuned[rest]).predict(base[row : row + 1] - centre)
            errors.append((found[0] - tuned[row]) ** 2)
        return np.mean(errors)

    penalties = PENALTIES * squares.mean()
    best = penalties[int(np.argmin([left_out(penalty) for penalty in penalties]))]
    expected = Ridge(alpha=best).fit(base, tuned)
    found = fit_ridge(base, tuned)
    np.testing.assert_allclose(found.weight, expected.coef_, atol=1e-5)
    np.testing.assert_allclose(found.bias, expected.intercept_, atol=1e-5)


def test_it_maps_new_texts_better_than_the_paper_s_recipe():
    base, tuned = texts(400, 30, 30, noise=0.5)
    train, test = slice(0, 300), slice(300, 400)
    errors = {
        fit.__name__: ((fit(base[train], tuned[train])(base[test]) - tuned[test]) ** 2).mean() for fit in (fit_ridge, fit_adam)
    }
    assert errors["fit_ridge"] < errors["fit_adam"]


def test_the_recipe_learns():
    base, tuned = texts(200, noise=0.0)
    before = ((tuned - tuned.mean(0)) ** 2).mean()
    after = ((fit_adam(base, tuned, epochs=400)(base) - tuned) ** 2).mean()
    assert after < 0.3 * before


def test_a_map_is_written_and_read_back(tmp_path):
    found = fit_ridge(*texts(20))
    found.save(tmp_path / "map", base_model="offline", task="weather", pooling="cls")
    again = SpaceMap.load(tmp_path / "map")
    np.testing.assert_array_equal(again.weight, found.weight)
    np.testing.assert_array_equal(again.bias, found.bias)
    card = MapCard.read(tmp_path / "map")
    assert (card.base_model, card.task, card.pooling) == ("offline", "weather", "cls")


def test_a_card_that_is_none_is_refused(tmp_path):
    for content in ("{", "[]", '{"task_id": "t"}'):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ArtifactError, match="not the config of an embedding space map"):
            MapCard.read(tmp_path)
    card = {"task_id": "t", "base_model_name": "b", "esm_architecture": "mlp"}
    (tmp_path / "config.json").write_text(json.dumps(card))
    with pytest.raises(ArtifactError, match="Only linear maps"):
        MapCard.read(tmp_path)


def test_maps_of_the_first_version_of_hf_dataset_selector_are_read(tmp_path):
    weight, bias = np.eye(3, dtype=np.float32), np.ones(3, dtype=np.float32)
    save_file({"sequential.0.weight": weight, "sequential.0.bias": bias}, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(SpaceMap.load(tmp_path)(np.zeros((2, 3))), np.ones((2, 3)))


def test_a_damaged_map_is_refused(tmp_path):
    save_file({"model.weight": np.eye(3), "model.bias": np.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match="not weight and bias of a linear map"):
        SpaceMap.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ArtifactError, match="cannot be read"):
        SpaceMap.load(tmp_path)


@pytest.mark.parametrize(
    ("weight", "bias", "told"),
    [
        (np.float32(1), np.ones(1), "not weight and bias of a linear map"),
        (np.ones(3), np.ones(3), "not weight and bias of a linear map"),
        (np.ones((3, 3, 3)), np.ones(3), "not weight and bias of a linear map"),
        (np.ones((3, 3)), np.ones((3, 1)), "not weight and bias of a linear map"),
        (np.ones((0, 3)), np.ones(0), "empty, NaN or infinite"),
        (np.ones((3, 0)), np.ones(3), "empty, NaN or infinite"),
        (np.full((3, 3), np.nan), np.ones(3), "empty, NaN or infinite"),
        (np.eye(3), np.array([1.0, np.inf, 1.0]), "empty, NaN or infinite"),
    ],
)
def test_weights_that_map_nothing_are_refused(tmp_path, weight, bias, told):
    save_file({"model.weight": np.asarray(weight), "model.bias": bias}, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match=told):
        SpaceMap.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000, b"\xff\xfe", b"7",
        *(
            json.dumps({"task_id": "t", "base_model_name": "b", "esm_architecture": "linear"} | wrong).encode()
            for wrong in ({"base_model_name": 7}, {"base_model_name": None}, {"base_model_name": ["b"]}, {"task_id": {}},
                          {"task_subset": 3}, {"transfercast_pooling": "max"})
        ),
    ],
)  # fmt: skip
def test_a_card_with_a_wrong_field_is_one_error(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ArtifactError, match="not the config of an embedding space map") as told:
        MapCard.read(tmp_path)
    assert "\n" not in str(told.value)


def test_a_map_needs_the_same_texts_twice():
    with pytest.raises(ShapeError, match="3 and 2 rows"):
        fit_ridge(np.zeros((3, 2)), np.zeros((2, 2)))


class Hub:
    """The hub's listing and downloads, from a folder."""

    def __init__(self, folder):
        self.folder, self.fetched = folder, []

    def model_info(self, name):
        if name == "nowhere":
            raise OSError("offline")
        return SimpleNamespace(id=f"moved/{name}")

    def list_models(self, filter):
        assert filter[0] == "embedding_space_map"
        return [SimpleNamespace(id=f"someone/{path.name}") for path in self.folder.iterdir()] * (
            filter[1] == "base_model:moved/b"
        )

    def download(self, name, allow_patterns, local_dir):
        self.fetched.append(name)
        for file in allow_patterns:
            shutil.copy(self.folder / name.removeprefix("someone/") / file, local_dir)


class Unreachable:
    """The hub without a network, as its HTTP client tells it, which is no OSError."""

    def model_info(self, name):
        raise httpx.ConnectError("[Errno -3] Temporary failure in name resolution")


def test_without_a_network_fetching_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", Unreachable)
    done = CliRunner().invoke(app, ["fetch-maps", "bert-base-uncased", "--out", str(tmp_path / "maps")])
    assert done.exit_code == 2
    assert done.stderr == "error: the hub tells nothing of 'bert-base-uncased' (ConnectError). Check name and network.\n"
    assert not list(tmp_path.iterdir())


def test_a_name_on_the_hub_is_no_path(tmp_path, monkeypatch, caplog):
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr(hub, "list_models", lambda filter: [SimpleNamespace(id="../.."), SimpleNamespace(id="/etc")])
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.download)
    with pytest.raises(InputError, match="none of the 2 maps"):
        fetch_maps("b", tmp_path / "maps")
    assert hub.fetched == []
    assert "map ../.. is left out" in caplog.text


def test_published_maps_are_fetched_once_and_bad_ones_left_out(tmp_path, monkeypatch, caplog):
    for name in ("good", "bad"):
        fit_ridge(*texts(20)).save(tmp_path / "hub" / name, base_model="b", task=name, pooling="cls")
    (tmp_path / "hub" / "bad" / "model.safetensors").write_bytes(b"nonsense")
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.download)
    assert fetch_maps("b", tmp_path / "maps") == [tmp_path / "maps" / "someone--good"]
    assert "map someone/bad is left out" in caplog.text
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["someone--good"]
    fetch_maps("b", tmp_path / "maps")
    assert hub.fetched.count("someone/good") == 1
    with pytest.raises(InputError, match="no embedding space map of 'moved/c'"):
        fetch_maps("c", tmp_path / "maps")
    with pytest.raises(InputError, match="the hub tells nothing of 'nowhere'"):
        fetch_maps("nowhere", tmp_path / "maps")
