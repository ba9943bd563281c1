"""A predictor on disk is JSON and Markdown, and what was changed is refused before anything is made of it."""

from __future__ import annotations

import json

import pytest

from tests.predictor.test_predictor import past, table_of
from transfercast.core.errors import ArtifactError
from transfercast.core.files import MARKER, sha256_of
from transfercast.core.table import FeatureTable
from transfercast.predictor.model import Predictor
from transfercast.predictor.retrain import train_meta


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return train_meta(past(), tmp_path_factory.mktemp("meta"), minutes=0, learners=("trees and ranker on ridge",)).folder


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


def test_an_artifact_holds_json_and_markdown_only(version):
    assert {path.suffix for path in version.iterdir() if path.name != MARKER} == {".json", ".md"}
    assert "held out whole" in (version / "CARD.md").read_text().replace("\n", " ")


@pytest.mark.parametrize("name", ["residuals.json", "past.json", "model.json", "booster-0.json"])
def test_a_changed_or_missing_file_is_refused(version, name):
    (version / name).write_text("{}")
    with pytest.raises(ArtifactError, match=rf"{name}: missing or not what the manifest says"):
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


@pytest.mark.parametrize("name", ["model.json", "past.json", "residuals.json", "booster-0.json", "manifest.json"])
@pytest.mark.parametrize("content", [b'{"a": [1, ', b"[" * 100_000, b"\xff\xfe", b"[]", b"1" * 5_000,
                                     b'{"format": 3, "sha256": {"\\u0000": ""}}'],
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
    (version / "past.json").unlink()
    (version / "past.json").mkdir()
    with pytest.raises(ArtifactError, match=r"past\.json: missing"):
        Predictor.load(version)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("model.json", {"ridges": {}}), ("model.json", {"schema": [{"name": 1}]}), ("model.json", {"boosters": []}),
     ("model.json", {"boosters": [["booster-0.json", "new target", "trees"], ["CARD.md", "new target", "ranker"]]}),
     ("model.json", {"ridges": {"new target": {"mean": [0], "scale": [1], "weights": [1], "intercept": 0}}}),
     ("model.json", {"choice": {"learner": "ridge"}}), ("past.json", {"scores": [[0, 99, 0, 0.5]]}),
     ("past.json", {"scores": [[0, 0.5]]}), ("past.json", {"tasks": 3}), ("residuals.json", {"t0": ["a"]}),
     ("residuals.json", {"t0": [None]}), ("model.json", {"scaling": {"goal": "standing"}}), ("model.json", {"surprise": 1}),
     ("model.json", {"scaling": {"goal": "score", "levels": {"observed": {"m": ""}, "score": {}, "gain": 0, "gain_with": {}}}}),
     ("past.json", {"tasks": [str(number) for number in range(20_000)]})],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_even_with_matching_hashes(version, name, changes):
    change(version, name, changes)
    with pytest.raises(ArtifactError, match=r"Roll back, or train anew"):
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
