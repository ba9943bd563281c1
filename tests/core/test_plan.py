"""A plan comes back as it was written, or one error says which field is wrong."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from transfercast.core.errors import ArtifactError
from transfercast.core.files import write_json
from transfercast.core.plan import Budget, Plan
from transfercast.core.records import ALONE, Recipe

STEP = {"position": 1, "source": "a", "target": "x", "recipe": Recipe().key, "score": 0.5, "lower": 0.4, "upper": 0.6,
        "hours": 0.1, "expected_best": 0.5}  # fmt: skip
FACTS = {"fingerprint": "f", "metric": "accuracy", "train_rows": 10}
BASELINE = STEP | {"source": ALONE, "position": 0}
PLAN = {"format": 1, "id": "0123456789abcdef", "steps": [BASELINE, STEP], "budget": {"trials": 1}, "predictor": "prior",
        "basis": "", "candidates": 1, "columns": [], "provenance": {"targets": {"x": FACTS}},
        "stop_after": 1, "regret_left": 0.0}  # fmt: skip


def test_a_plan_comes_back(tmp_path):
    write_json(tmp_path / "plan.json", PLAN)
    plan = Plan.load(tmp_path / "plan.json")
    plan.save(tmp_path / "again.json")
    assert Plan.load(tmp_path / "again.json") == plan


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        ({"id": "../../x"}, ["id"]),
        ({"steps": []}, ["steps"]),
        ({"steps": [STEP | {"hours": -1}]}, ["steps.0.hours"]),
        ({"format": 0}, ["no format number"]),
        ({"steps": [BASELINE | {"score": math.nan}]}, ["steps.0.score"]),
        ({"steps": [BASELINE, BASELINE]}, ["not numbered 0, 1, 2"]),
        ({"steps": [BASELINE, STEP | {"position": -1}]}, ["not numbered 0, 1, 2"]),
        ({"steps": [BASELINE, STEP | {"recipe": "zzz"}]}, ["step 1", "'zzz'", "Write it as in"]),
        ({"steps": [BASELINE | {"target": "../x"}]}, ["step 0", "target", "'../x'"]),
        ({"steps": [BASELINE | {"source": "a/b"}]}, ["step 0", "source", "'a/b'"]),
        ({"provenance": {"targets": {"x": FACTS | {"metric": "rouge"}}}}, ["provenance.targets.x.metric", "'rouge'"]),
        ({"budgett": 1}, ["did you mean 'budget'?"]),
    ],
)
def test_a_wrong_plan_is_told_by_field_or_step(tmp_path, wrong, parts):
    (tmp_path / "plan.json").write_text(json.dumps(PLAN | wrong), encoding="utf-8")  # write_json writes NaN as null
    with pytest.raises(ArtifactError) as caught:
        Plan.load(tmp_path / "plan.json")
    for part in (*parts, "plan.json"):
        assert part in str(caught.value)


@pytest.mark.parametrize("hours", [math.inf, math.nan])
def test_a_budget_is_a_number_of_hours(hours):
    with pytest.raises(ValidationError):
        Budget(hours=hours)
