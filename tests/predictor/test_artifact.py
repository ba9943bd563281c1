"""A predictor on disk is JSON, safetensors and Markdown, and what was changed is refused before anything is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.builders import past, table_of
from transfercast.core.errors import ArtifactError
from transfercast.core.files import MARKER, sha256_of
from transfercast.core.table import FeatureTable
from transfercast.predictor.predictor import Predictor
from transfercast.retraining.retrain import train_meta


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return train_meta(past(), tmp_path_factory.mktemp("meta"), minutes=0).folder


@pytest.fixture
def version(made, tmp_path):
    import shutil

    return shutil.copytree(made, tmp_path / "version")


def change(version, name, changes):
    """Change a file, and the hash beside it as well, as somebody would who means it."""
    put(version, name, json.dumps({**json.loads((version / name).read_text()), **changes}).encode())


def put(version, name, content):
    """Replace a file, and the hash beside it."""
    (version / name).write_bytes(content)
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["sha256"][name] = sha256_of(version / name)
    (version / "manifest.json").write_text(json.dumps(manifest))


def test_an_artifact_holds_json_safetensors_and_markdown_only(version):
    assert {path.suffix for path in version.iterdir() if path.name != MARKER} == {".json", ".md", ".safetensors"}
    assert "figures are for held-out targets" in (version / "CARD.md").read_text().replace("\n", " ")


@pytest.mark.parametrize("name", ["residuals.json", "matrix.safetensors", "model.json", "regressor.json"])
def test_a_changed_or_missing_file_is_refused(version, name):
    (version / name).write_text("{}")
    with pytest.raises(ArtifactError, match=rf"{name}: missing or changed since the manifest was written"):
        Predictor.load(version)
    (version / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: missing"):
        Predictor.load(version)


@pytest.mark.parametrize(("number", "told"), [(99, "format 99, this version reads up to"), (1, "format 1; this version reads")])
def test_another_format_is_refused(version, number, told):
    manifest = json.loads((version / "manifest.json").read_text())
    (version / "manifest.json").write_text(json.dumps({**manifest, "format": number}))
    with pytest.raises(ArtifactError, match=told):
        Predictor.load(version)


@pytest.mark.parametrize("name", ["model.json", "matrix.safetensors", "residuals.json", "regressor.json", "manifest.json"])
@pytest.mark.parametrize("content", [b'{"a": [1, ', b"[" * 100_000, b"\xff\xfe", b"[]", b"1" * 5_000,
                                     b'{"format": 7, "sha256": {"\\u0000": ""}}'],
                         ids=["cut", "deep", "not UTF-8", "a list", "5,000 digits", "a name that no file has"])  # fmt: skip
def test_what_is_no_json_of_ours_is_refused_in_one_line_even_with_matching_hashes(version, name, content):
    if name == "manifest.json":
        (version / name).write_bytes(content)
    else:
        put(version, name, content)
    with pytest.raises(ArtifactError) as told:
        Predictor.load(version)
    assert name in str(told.value)
    assert "\n" not in str(told.value)


def test_a_folder_in_the_place_of_a_file_is_refused(version):
    (version / "residuals.json").unlink()
    (version / "residuals.json").mkdir()
    with pytest.raises(ArtifactError, match=r"residuals\.json: missing"):
        Predictor.load(version)


def names(**changes):
    """What model.json says of the matrix, changed."""
    return lambda content: content | {"matrix": content["matrix"] | changes}


@pytest.mark.parametrize(
    "changes",
    [lambda c: c | {"schema": [{"name": 1}]}, lambda c: c | {"deviations": [0.5]},
     lambda c: c | {"deviations": [0.0, 1.0]}, lambda c: c | {"calibration": {}}, lambda c: c | {"surprise": 1},
     lambda c: c | {"features": None}, names(encoders=[]), names(tasks=["t0"]), names(targets=["t0", "x"]),
     names(columns=[]), names(tasks=3), lambda c: c | {"matrix": {}}],
)  # fmt: skip
def test_a_model_that_does_not_fit_together_is_refused_even_with_matching_hashes(version, changes):
    content = json.loads((version / "model.json").read_text())
    put(version, "model.json", json.dumps(changes(content)).encode())
    with pytest.raises(ArtifactError, match=r"Roll back, or train anew"):
        Predictor.load(version)


@pytest.mark.parametrize("changes", [{"t0": ["a"]}, {"t0": [None]}, {"t0": 1}])
def test_residuals_that_are_no_numbers_are_refused(version, changes):
    change(version, "residuals.json", changes)
    with pytest.raises(ArtifactError, match=r"residuals\.json.*Roll back, or train anew"):
        Predictor.load(version)


def at(name, place, value):
    """An array with another value in one place."""

    def changed(arrays):
        array = arrays[name].copy()
        array[place] = value
        return arrays | {name: array}

    return changed


@pytest.mark.parametrize(
    "changes",
    [at("encoder", 0, 9), at("target", 0, -1), at("source", 0, 10**6), at("outcomes", (0, 0), np.nan),
     at("evidence", (0, 0), np.inf), lambda a: a | {"outcomes": a["outcomes"][:-1]},
     lambda a: a | {"target": a["target"].astype(np.float64)},
     lambda a: {name: values for name, values in a.items() if name != "measures"},
     lambda a: a | {"measures": a["measures"][:, :, :1]}, lambda a: a | {"outcomes": np.array(0.5)},
     at("named", 0, np.nan), lambda a: a | {"named": a["named"][:, None]}, at("named", 0, 1e300), at("outcomes", (0, 0), 1e300),
     lambda a: {name: values for name, values in a.items() if name != "named"},
     lambda a: a | {name: np.repeat(a[name], 2, axis=0) for name in set(a) - {"measures"}}],
)  # fmt: skip
def test_a_matrix_that_does_not_fit_together_is_refused_even_with_matching_hashes(version, changes):
    arrays = safetensors.numpy.load((version / "matrix.safetensors").read_bytes())
    put(
        version, "matrix.safetensors", safetensors.numpy.save({n: np.asarray(v, order="C") for n, v in changes(arrays).items()})
    )
    with pytest.raises(ArtifactError, match=r"matrix\.safetensors: damaged .*Roll back, or train anew"):
        Predictor.load(version)


@pytest.mark.parametrize("name", ["regressor.json", "matrix.safetensors"])
def test_a_file_that_the_manifest_does_not_name_is_missed(version, name):
    manifest = json.loads((version / "manifest.json").read_text())
    del manifest["sha256"][name]
    (version / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=rf"{name}: missing, but"):
        Predictor.load(version)


def test_a_table_of_another_version_of_a_measure_is_refused(version):
    table = table_of(past(), "t0")
    newer = tuple(c.model_copy(update={"version": 2}) for c in table.schema)
    with pytest.raises(ArtifactError, match="fitted on version 1"):
        Predictor.load(version).predict(FeatureTable(table.frame, newer, table.provenance))


def test_a_table_without_any_of_its_columns_is_refused(version):
    table = table_of(past(), "t0")
    schema = tuple(c.model_copy(update={"name": f"other_{c.name}"}) for c in table.schema)
    frame = table.frame.set_axis([c.name for c in schema], axis=1)
    with pytest.raises(ArtifactError, match="shares no column"):
        Predictor.load(version).predict(FeatureTable(frame, schema, table.provenance))


def test_a_predictor_of_format_7_that_was_kept_is_read_and_forecasts_as_it_did():
    kept = Predictor.load(Path(__file__).parents[1] / "artifacts" / "predictor-7")
    forecast = kept.predict(table_of(past(4, 4, seed=1), "t0"))
    assert kept.id == "0001-00000000"
    np.testing.assert_allclose(forecast.score, [0.4984637, 0.4661232, 0.4583804, 0.4650469], atol=1e-6)
