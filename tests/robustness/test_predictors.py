"""Predictors whose files were cut, edited or tampered with, their hashes made to fit or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.robustness.campaign import DAMAGED, REFUSED, Case, Prepare, check
from tests.robustness.damage import (
    Damage,
    emptied,
    first,
    gzipped,
    in_place_of_a_folder,
    made_folder,
    nested,
    not_utf8,
    nothing,
    put,
    random_bytes,
    removed,
    steps,
    without,
    wrote,
)
from transfercast.core.files import sha256_of

PLAN = "plan candidates.parquet --trials 2 --predictor meta"
BROKEN = (REFUSED, DAMAGED)
FILES = ("model.json", "residuals.json", "report.json")
MATRIX = "matrix.safetensors"


def version_of(folder: Path) -> Path:
    """The one version of the good predictor."""
    (found,) = (folder / "meta" / "versions").iterdir()
    return found


def file(what: str, name: str, damage: Damage, fitting: bool = True, code: int | tuple[int, ...] = DAMAGED) -> Case:
    """A predictor's file whose bytes were changed, and its hash made to fit (or not)."""

    def prepare(folder: Path) -> None:
        path = version_of(folder) / name
        path.write_bytes(damage(path.read_bytes()))
        if fitting and name != "manifest.json":
            _hashed_anew(path)

    return Case(f"{name} {what}", prepare, PLAN, code, "meta|2 trials", ("plan.json",))


def content(what: str, name: str, change: Callable[[Any], object], code: int | tuple[int, ...] = DAMAGED) -> Case:
    """A predictor's file whose content was changed, and its hash made to fit."""

    def prepare(folder: Path) -> None:
        path = version_of(folder) / name
        whole = json.loads(path.read_bytes())
        change(whole)
        path.write_text(json.dumps(whole), encoding="utf-8")
        if name != "manifest.json":
            _hashed_anew(path)

    return Case(f"{name} {what}", prepare, PLAN, code, "meta|2 trials", ("plan.json",))


def _hashed_anew(path: Path) -> None:
    manifest = path.parent / "manifest.json"
    whole = json.loads(manifest.read_bytes())
    whole["sha256"][path.name] = sha256_of(path)
    manifest.write_text(json.dumps(whole), encoding="utf-8")


BYTES = [
    Case("predictor as it should be", nothing, PLAN, 0, "2 trials", ("plan.json",)),
    *(file("of lists in one another", name, nested) for name in (*FILES, "manifest.json", "regressor.json", MATRIX)),
    *(file("that is not UTF-8", name, not_utf8) for name in (*FILES, "manifest.json", "regressor.json", MATRIX)),
    *(file("cut in the middle", name, first(0.5)) for name in (*FILES, "manifest.json", "regressor.json", MATRIX)),
    *(
        file("that is a list", name, lambda good: b"[]", code=(0, DAMAGED) if name == "report.json" else DAMAGED)
        for name in (*FILES, "manifest.json", "regressor.json", MATRIX)
    ),
    *(file("that is a word", name, lambda good: b'"x"') for name in ("model.json", "residuals.json", "regressor.json", MATRIX)),
    *(file("of no bytes", name, emptied) for name in ("model.json", "manifest.json", "regressor.json", MATRIX)),
    *(
        file("another than the manifest says", name, lambda good: good + b" ", fitting=False)
        for name in (*FILES, "regressor.json", MATRIX)
    ),
    file("compressed", "model.json", gzipped),
    file("of random bytes", "regressor.json", lambda good: random_bytes(9, 3000)),
]

MANIFEST = [
    content("without hashes", "manifest.json", without("sha256")),
    content("whose hashes are a list", "manifest.json", put("sha256", value=["x"])),
    content("whose hash is a number", "manifest.json", put("sha256", "model.json", value=7)),
    content("without a hash of the model", "manifest.json", without("sha256", "model.json")),
    content("with a hash of a file elsewhere", "manifest.json", put("sha256", "../../CURRENT", value="0" * 64)),
    content("of a newer format", "manifest.json", put("format", value=99)),
    content("of an older format", "manifest.json", put("format", value=1)),
    content("without an id", "manifest.json", without("id"), (0, DAMAGED)),
    content("whose id is a list", "manifest.json", put("id", value=["x"]), (0, DAMAGED)),
]

KEYS = ("features", "schema", "deviations", "shares", "calibration", "difficulty", "matrix")
NAMES = ("encoders", "tasks", "targets", "columns")

MODEL = [
    *(content(f"without {key}", "model.json", without(key)) for key in KEYS),
    *(content(f"whose {key} is a number", "model.json", put(key, value=7)) for key in KEYS),
    *(content(f"whose {key} is null", "model.json", put(key, value=None), (0, DAMAGED)) for key in KEYS),
    content("of unknown features", "model.json", put("features", value="magic"), (0, DAMAGED)),
    content("with an unknown group", "model.json", put("schema", 0, "group", value="magic")),
    content("with a column twice", "model.json", lambda whole: whole["schema"].append(whole["schema"][0])),
    content("of no columns", "model.json", put("schema", value=[])),
    content("whose levels are words", "model.json", put("calibration", "levels", "gain", value="much")),
    content("whose slope is no number", "model.json", put("calibration", "slopes", value={"target cold start": float("nan")})),
    content("with an unknown regime", "model.json", put("calibration", "slopes", value={"new planet": 1.0})),
    *(
        content(f"whose deviations are {what}", "model.json", put("deviations", value=value))
        for what, value in (("words", ["x", "y"]), ("none", []), ("below 0", [-1.0, 1.0]))
    ),
    *(content(f"whose matrix is without {key}", "model.json", without("matrix", key)) for key in NAMES),
    *(content(f"whose matrix has numbers as {key}", "model.json", put("matrix", key, value=[1, 2])) for key in NAMES),
    *(content(f"whose matrix has no {key}", "model.json", put("matrix", key, value=[])) for key in NAMES[:4]),
    content("of one residual that is a word", "residuals.json", put("t0", value=["x"])),
    content("of residuals that are a number", "residuals.json", put("t0", value=1.0)),
    content("of residuals that are no numbers", "residuals.json", put("t0", value=[float("nan")] * 5)),
    content("of residuals in lists", "residuals.json", put("t0", value=[[0.1], [0.2]])),
]  # fmt: skip


def tampered(what: str, change: Callable[[Any], object], code: int | tuple[int, ...] = DAMAGED) -> Case:
    """A booster that somebody changed so that XGBoost itself would crash, hang or take all memory, its hash made to fit."""
    return content(f"tampered with: {what}", "regressor.json", change, code)


def _tree(*path: str | int, value: Any) -> Callable[[Any], None]:
    return put("learner", "gradient_booster", "model", "trees", 0, *path, value=value)


def _column_of_a_split(value: int) -> Callable[[Any], None]:
    """The column of the first split that there is: that of a leaf is not looked at, as XGBoost does not either."""

    def change(about: Any) -> None:
        trees = about["learner"]["gradient_booster"]["model"]["trees"]
        tree = next(tree for tree in trees if tree["left_children"][0] != -1)
        tree["split_indices"][0] = value

    return change


LEARNER = ("learner", "learner_model_param")

BOOSTERS = [
    tampered("leaves of a thousand values", _tree("tree_param", "size_leaf_vector", value="1000")),
    tampered("more nodes than there are", _tree("tree_param", "num_nodes", value="100000")),
    tampered("nodes that were deleted", _tree("tree_param", "num_deleted", value="7")),
    tampered("other columns than the model's", _tree("tree_param", "num_feature", value="1000000000")),
    tampered("sizes of categories without categories", _tree("categories_sizes", value=[1])),
    tampered("nodes of categories without categories", _tree("categories_nodes", value=[0])),
    tampered("a category", _tree("categories", value=[1])),
    tampered("a categorical split", _tree("split_type", 0, value=1)),
    tampered("a child outside", _tree("left_children", 0, value=10**6)),
    tampered("a negative child", _tree("left_children", 0, value=-7)),
    tampered("a child that is its own parent", _tree("left_children", 0, value=0)),
    tampered("a child that is a word", _tree("left_children", 0, value="x")),
    tampered("a column outside", _column_of_a_split(10**6)),
    tampered("a negative column", _column_of_a_split(-1)),
    tampered("a bound that is a word", _tree("split_conditions", 0, value="x")),
    tampered("another booster's name", put("learner", "gradient_booster", "name", value="gblinear")),
    tampered("dart", put("learner", "gradient_booster", "name", value="dart")),
    tampered("a billion columns", put(*LEARNER, "num_feature", value="1000000000")),
    tampered("a million classes", put(*LEARNER, "num_class", value="1000000")),
    tampered("a million targets", put(*LEARNER, "num_target", value="1000000")),
    tampered("a score to begin with that is a word", put(*LEARNER, "base_score", value="x")),
    tampered("an unknown objective", put("learner", "objective", "name", value="reg:magic")),
    tampered("no trees", put("learner", "gradient_booster", "model", "trees", value=[])),
    tampered("a tree that is a number", put("learner", "gradient_booster", "model", "trees", 0, value=7)),
    tampered("trees for classes that are not there", put("learner", "gradient_booster", "model", "tree_info", 0, value=7)),
    tampered("rounds that do not fit", put("learner", "gradient_booster", "model", "iteration_indptr", 1, value=10**6)),
    tampered(
        "more trees than there are",
        put("learner", "gradient_booster", "model", "gbtree_model_param", "num_trees", value="9999"),
    ),
    tampered("another version", put("version", value=[99, 0, 0]), (0, DAMAGED)),
]

CURRENT = "meta/CURRENT"


def current(what: str, content: bytes | str, command: str = PLAN, code: int | tuple[int, ...] = BROKEN) -> Case:
    """The pointer to the version in force, changed."""
    return Case(f"CURRENT {what}", wrote(CURRENT, content), command, code, "meta", needs=("meta",))


POINTERS = [
    current("of bytes that are no text", b"\xff\xfe\x00"),
    current("of no bytes", b""),
    current("of a version that is not there", "0099-deadbeef\n"),
    current("that leads upwards", "../../other\n"),
    current("that leads to a folder outside", "/tmp\n"),
    current("of control codes", "\x1b[2J\n"),
    current(
        "of a version that is not there, to learn", "0099-deadbeef\n", "train-meta --out meta --history history.db --minutes 0"
    ),
    current("of bytes that are no text, to learn", b"\xff\xfe", "train-meta --out meta --history history.db --minutes 0"),
    current("of bytes that are no text, to roll back", b"\xff\xfe", "train-meta --out meta --history history.db --roll-back"),
    current(
        "that leads upwards, to roll back", "../../other\n0001\n", "train-meta --out meta --history history.db --roll-back"
    ),
    current("of a version that is not there, to serve", "0099-deadbeef\n", "serve --predictor meta"),
    Case("a folder in place of CURRENT", steps(removed(CURRENT), made_folder(CURRENT)), PLAN, BROKEN, "meta"),
    Case("a file in place of the versions", in_place_of_a_folder("meta/versions"), PLAN, BROKEN, "meta"),
    Case("a predictor that is a file", in_place_of_a_folder("meta"), PLAN, BROKEN, "meta"),
    Case(
        "a predictor that is an empty folder",
        made_folder("empty"),
        PLAN.replace("meta", "empty"),
        REFUSED,
        "empty.*no predictor",
    ),
    Case("a predictor under /proc", nothing, PLAN.replace("meta", "/proc/self"), REFUSED, "/proc/self"),
]


def learned(what: str, prepare: Prepare, options: str, says: str) -> Case:
    """A retraining whose results cannot be written."""
    return Case(f"learning {what}", prepare, f"train-meta --history history.db --minutes 0 {options}", REFUSED, says)


PLACES = [
    learned("into a file", wrote("new", "mine"), "--out new", "new"),
    learned("below a file", wrote("f", "mine"), "--out f/new", "f"),
    learned("under /proc", nothing, "--out /proc/nowhere", "/proc/nowhere"),
    learned("with a page in place of a folder", made_folder("page"), "--out new --html page", "page"),
    learned("with a page under /proc", nothing, "--out new --html /proc/nowhere/page.html", "/proc/nowhere"),
    Case("an evaluation into a file", wrote("new", "mine"), "evaluate history.db --jobs 1 --out new", REFUSED, "new"),
    Case("an evaluation under /proc", nothing, "evaluate history.db --jobs 1 --out /proc/nowhere", REFUSED, "/proc/nowhere"),
    Case("a plan into a folder", made_folder("out"), "plan features.parquet --trials 2 --out out", REFUSED, "out"),
    Case("a plan into a full folder", made_folder("out", "thesis.txt"), "plan features.parquet --trials 2 --out out", REFUSED,
        "out"),
    Case("a plan under /proc", nothing, "plan features.parquet --trials 2 --out /proc/nowhere/plan.json", REFUSED,
        "/proc/nowhere"),
    Case("a plan below a file", wrote("f", "mine"), "plan features.parquet --trials 2 --out f/plan.json", REFUSED, "f"),
    Case("a picture into a folder", made_folder("why.svg"), "plan features.parquet --trials 2 --plot why.svg", REFUSED,
        r"why\.svg"),
    Case("a picture under /proc", nothing, "plan features.parquet --trials 2 --plot /proc/x/why.svg", REFUSED, "/proc/x"),
    Case("a page into a folder", made_folder("page"), "explain pool/sources/good 'we need' --html page", REFUSED, "page"),
    Case("a page of two under /proc", nothing, "explain good:help --html /proc/x/page.html", REFUSED, "/proc/x", needs=("pool",
        )),
]  # fmt: skip

EVERY = [*BYTES, *MANIFEST, *MODEL, *BOOSTERS, *POINTERS, *PLACES]


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.id)
def test_a_predictor_is_read_rightly_or_refused_in_one_line(case, goods, tmp_path, caplog):
    check(case, goods, tmp_path, lambda: caplog.text)
