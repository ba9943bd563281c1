"""What XGBoost would crash of is refused before it sees it; what training wrote is read as it is."""

from __future__ import annotations

import copy
import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import xgboost

from transfercast.core.errors import ArtifactError
from transfercast.predictor import trees as module
from transfercast.predictor.boosters import checked_json, read_booster

COLUMNS = 4
ROWS = np.random.default_rng(0).normal(size=(60, COLUMNS))


def trained() -> bytes:
    outcome = ROWS[:, 0] + np.random.default_rng(1).normal(size=60)
    with pytest.MonkeyPatch.context() as few:
        few.setattr(module, "ROUNDS", 2)
        few.setattr(module, "LEAST_ROWS", 0.01)
        return bytes(module.fit_regressor(ROWS, outcome).save_raw("json"))


@pytest.fixture(scope="module")
def trees() -> bytes:
    return trained()


def test_what_training_wrote_is_read_and_forecasts_the_same(trees):
    plain = xgboost.Booster()
    plain.load_model(bytearray(trees))
    assert np.ptp(plain.inplace_predict(ROWS)) > 0
    assert np.array_equal(read_booster(trees, COLUMNS, "b").inplace_predict(ROWS), plain.inplace_predict(ROWS))


def test_what_older_versions_of_xgboost_write_is_read(trees):
    older = json.loads(trees)
    del older["learner"]["gradient_booster"]["model"]["cats"]  # before 3.1
    older["learner"]["learner_model_param"]["base_score"] = "0E0"
    older["version"] = [2, 1, 4]
    again = read_booster(json.dumps(older).encode(), COLUMNS, "b")
    assert np.array_equal(again.inplace_predict(ROWS), read_booster(trees, COLUMNS, "b").inplace_predict(ROWS))


def tampered(content: bytes, path: str, value: object) -> bytes:
    model = json.loads(content)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place = model
    for part in parents:
        place = place[part]
    place[last] = value
    return json.dumps(model).encode()


PARAM = "learner/learner_model_param"
TREES = "learner/gradient_booster/model/trees"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{TREES}/0/left_children/0", 99_999), (f"{TREES}/0/right_children/0", 0), (f"{TREES}/0/parents/1", 3),
        (f"{TREES}/0/split_indices/0", 9_999), (f"{TREES}/0/split_indices/0", COLUMNS), (f"{TREES}/0/parents/0", 0),
        (f"{TREES}/0/split_conditions/0", 1e300), (f"{TREES}/0/split_conditions/0", float("nan")),
        (f"{TREES}/0/default_left/0", 7), (f"{TREES}/0/split_type/0", 1), (f"{TREES}/0/id", 1), (f"{TREES}/0/sum_hessian", []),
        (f"{TREES}/0/tree_param/size_leaf_vector", "1000"), (f"{TREES}/0/tree_param/num_nodes", "1"),
        (f"{TREES}/0/tree_param/num_deleted", "1"), (f"{TREES}/0/tree_param/num_feature", "1000000000"),
        (f"{TREES}/0/categories_nodes", [0]), (f"{TREES}/0/categories_sizes", [99]), (f"{TREES}/0/surprise", 0),
        ("learner/gradient_booster/name", "gblinear"), ("learner/gradient_booster/name", "dart"),
        ("learner/gradient_booster/weight_drop", [1]), ("learner/gradient_booster/model/cats/enc", [1]),
        ("learner/gradient_booster/model/tree_info/0", 5), ("learner/gradient_booster/model/iteration_indptr", [0, 10**9]),
        ("learner/gradient_booster/model/iteration_indptr", []), ("learner/gradient_booster/model/trees", []),
        ("learner/gradient_booster/model/gbtree_model_param/num_trees", "99"),
        (f"{PARAM}/num_feature", "1000000000"), (f"{PARAM}/num_class", "1000000"), (f"{PARAM}/num_target", "1000000"),
        (f"{PARAM}/base_score", "1E0"), (f"{PARAM}/surprise", "1"),
        ("learner/objective/name", "binary:logistic"), ("learner/objective/reg_loss_param/scale_pos_weight", "9"),
        ("learner/feature_names", ["a"]), ("learner/attributes", {"best_iteration": "99"}), ("version", [9]), ("surprise", 1),
    ],
)  # fmt: skip
def test_each_value_that_training_does_not_write_is_refused(trees, path, value):
    assert len(json.loads(trees)["learner"]["gradient_booster"]["model"]["trees"][0]["parents"]) > 3
    with pytest.raises(ArtifactError, match=r"^file(, tree 0)?[:,]"):
        checked_json(tampered(trees, path, value), COLUMNS, "file")


def test_a_booster_of_other_columns_is_refused(trees):
    with pytest.raises(ArtifactError, match="made for other columns than the 5"):
        read_booster(trees, 5, "file")


def chain(content: bytes, depth: int) -> bytes:
    """A model of one tree that always goes on to the left."""
    model = json.loads(content)
    inside = model["learner"]["gradient_booster"]["model"]
    size = 2 * depth + 1
    left = [-1] * size
    parents = [2**31 - 1] + [0] * (size - 1)
    node = 0
    for level in range(depth):
        left[node] = 2 * level + 1
        parents[2 * level + 1] = parents[2 * level + 2] = node
        node = 2 * level + 1
    tree = copy.deepcopy(inside["trees"][0])
    tree |= {name: [0] * size for name in ("split_indices", "split_type", "default_left")}
    tree |= {name: [0.5] * size for name in ("split_conditions", "base_weights", "loss_changes", "sum_hessian")}
    tree |= {"left_children": left, "right_children": [-1 if child == -1 else child + 1 for child in left], "parents": parents}
    tree["tree_param"]["num_nodes"] = str(size)
    inside |= {"trees": [tree], "tree_info": [0], "iteration_indptr": [0, 1]}
    inside["gbtree_model_param"]["num_trees"] = "1"
    return json.dumps(model).encode()


def test_a_tree_so_deep_that_its_reasons_would_take_all_memory_is_refused(trees):
    read_booster(chain(trees, 10), COLUMNS, "file").predict(xgboost.DMatrix(ROWS), pred_contribs=True)
    with pytest.raises(ArtifactError, match="deeper than 32"):
        read_booster(chain(trees, 40), COLUMNS, "file")


def test_xgboost_reads_what_was_checked_and_not_a_second_value_of_the_same_key(trees):
    doubled = trees.replace(b'"num_target":"1"', b'"num_target":"1000000","num_target":"1"')
    assert doubled != trees
    assert b"1000000" not in checked_json(doubled, COLUMNS, "file")


def mutants(content: bytes, count: int, seed: int):
    """Models with one to three places changed, taken away or doubled, or with bytes changed."""
    rng = random.Random(seed)
    wild = [
        -1,
        0,
        1,
        7,
        99_999,
        2**31 - 1,
        2**63,
        10**30,
        -0.5,
        1e308,
        "",
        "0",
        "1000000000",
        "x",
        None,
        True,
        [],
        [0] * 50,
        {},
    ]
    for _ in range(count):
        if rng.random() < 0.1:
            raw = bytearray(content)
            for _ in range(rng.randint(1, 4)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            yield bytes(raw)
            continue
        model = json.loads(content)
        for _ in range(rng.randint(1, 3)):
            holder, key = {"model": model}, "model"
            while holder[key] and isinstance(holder[key], dict | list) and (key == "model" or rng.random() < 0.9):
                holder = holder[key]
                key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
            action = rng.random()
            if action < 0.15:
                del holder[key]
            elif action < 0.25 and isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            elif action < 0.35 and isinstance(holder, dict):
                holder[rng.choice(["cats", "weight_drop", "categories", "linear"])] = rng.choice(wild)
            else:
                holder[key] = rng.choice(wild)
        yield json.dumps(model).encode()


def survive(seed: int) -> None:
    """Read hundreds of tampered models, and use those that are accepted. Run in a process of its own."""
    content = trained()
    accepted = 0
    for mutant in mutants(content, 600, seed):
        try:
            booster = read_booster(mutant, COLUMNS, "file")
        except ArtifactError:
            continue
        accepted += 1
        booster.inplace_predict(ROWS, predict_type="margin")
        booster.predict(xgboost.DMatrix(ROWS, nthread=1), pred_contribs=True)
    sys.stdout.write(f"{accepted}\n")


def test_no_tampered_booster_ends_the_process():
    code = f"from {__name__} import survive; survive(0)"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=os.environ
    )
    assert ended.returncode == 0, ended.stderr
    assert 0 < int(ended.stdout) < 300  # other numbers in a tree are a model as well
