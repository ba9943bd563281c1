"""The package as a whole: what is public, and what importing it costs."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import transfercast


def test_no_public_name_is_also_a_subpackage():
    assert not set(transfercast.__all__) & {module.name for module in pkgutil.iter_modules(transfercast.__path__)}


def test_every_public_name_can_be_loaded():
    for name in transfercast.__all__:
        assert getattr(transfercast, name) is not None
    assert not hasattr(transfercast, "nothing")


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    return set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout))


def test_importing_the_package_loads_nothing_heavy():
    assert not {"numpy", "torch", "xgboost", "optuna"} & loaded_by("import transfercast")


def test_deciding_loads_no_torch_and_measuring_no_xgboost():
    deciding = "import transfercast as tc; tc.Predictor, tc.plan, tc.History, tc.FeatureTable, tc.train_meta"
    assert "torch" not in loaded_by(deciding)
    assert "xgboost" not in loaded_by("import transfercast as tc; tc.extract_features, tc.SourcePool")
    assert not {"torch", "xgboost"} & loaded_by("import transfercast.cli")


def test_the_citation_names_this_version():
    root = Path(__file__).parents[1]
    assert f"version: {transfercast.__version__}\n" in (root / "CITATION.cff").read_text(encoding="utf-8")
