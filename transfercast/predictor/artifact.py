"""A predictor on disk: a folder of JSON and Markdown, no pickle, checked before XGBoost sees it. Format 3.

    meta/CURRENT                      ids of promoted versions, the last one is in force
    meta/versions/ID/manifest.json    format, what it was fitted on, SHA-256 of the other files
    meta/versions/ID/booster-N.json   XGBoost's own JSON, for each situation and part of the learner; none of a ridge
    meta/versions/ID/model.json       choice, columns, ridges, scaling
    meta/versions/ID/past.json        observed scores and views of the measures, for the history's features
    meta/versions/ID/residuals.json   held-out residuals by target
    meta/versions/ID/report.json      metrics
    meta/versions/ID/CARD.md          the same for people

A hash beside a file shows damage, not malice: XGBoost documents that it does not sanitise models, and a tampered child
index was seen to crash the process. So `check_trees` reads the structure itself.
Raise FORMAT when an older version would misread a folder. Formats 1 (no past) and 2 (one
booster a situation) are refused: their histories can be learned from anew.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import read_json, sha256_of, write_json, write_text

if TYPE_CHECKING:
    from xgboost import Booster

FORMAT = 3
FILES = ("model.json", "past.json", "residuals.json", "report.json")


def current(folder: Path) -> Path:
    """The folder of the version in force.

    Raises:
        InputError: if nothing was promoted there.
    """
    if (folder / "manifest.json").is_file():
        return folder
    promoted = promoted_ids(folder)
    if not promoted and any((folder / "versions").glob("*/manifest.json")):
        raise InputError(
            f"{folder}: no version was promoted, for none was as good as the prior on held-out targets. Go on without a "
            "predictor, and retrain when more was observed."
        )
    if not promoted:
        raise InputError(f"{folder}: no predictor. Make one with: transfercast train-meta --history ... --out {folder}")
    return folder / "versions" / promoted[-1]


def promoted_ids(folder: Path) -> list[str]:
    """Ids of the versions promoted, in order."""
    pointer = folder / "CURRENT"
    return pointer.read_text(encoding="utf-8").split() if pointer.is_file() else []


def promote(folder: Path, version: str) -> None:
    """Put a version in force."""
    write_text(folder / "CURRENT", "\n".join([*promoted_ids(folder), version]) + "\n")


def roll_back(folder: Path) -> str:
    """Put the version before in force again, and tell its id.

    Raises:
        InputError: if there is none before.
    """
    promoted = promoted_ids(folder)
    if len(promoted) < 2:
        raise InputError(f"{folder}: no earlier version to roll back to; {len(promoted)} was promoted.")
    write_text(folder / "CURRENT", "\n".join(promoted[:-1]) + "\n")
    return promoted[-2]


def write(folder: Path, manifest: dict[str, Any], boosters: dict[str, bytes], parts: dict[str, Any], card: str) -> None:
    """Fill a new folder; the manifest comes last."""
    for name, content in boosters.items():
        (folder / name).write_bytes(content)
    for name, content in parts.items():
        write_json(folder / name, content)
    (folder / "CARD.md").write_text(card, encoding="utf-8")
    hashes = {name: sha256_of(folder / name) for name in (*FILES, *boosters)}
    write_json(folder / "manifest.json", {"format": FORMAT, **manifest, "sha256": hashes})


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and parts of a version, checked.

    Returns:
        The manifest, and the JSON contents of FILES by name.

    Raises:
        ArtifactError: if a file is missing, changed, or of another format.
    """
    manifest = read_json(folder / "manifest.json", "a predictor", FORMAT)
    if manifest["format"] < FORMAT:
        raise ArtifactError(
            f"{folder} has format {manifest['format']}; this version reads {FORMAT}. Train anew from its history."
        )
    hashes = manifest.get("sha256", {})
    if not isinstance(hashes, dict) or set(FILES) - set(hashes):
        raise ArtifactError(f"{folder}/manifest.json: names no hash of {', '.join(FILES)}. Roll back, or train anew.")
    for name, expected in hashes.items():
        path = folder / Path(name).name
        if not path.is_file() or sha256_of(path) != expected:
            raise ArtifactError(f"{path}: missing or not what the manifest says. Roll back, or train anew.")
    return manifest, {name: json.loads((folder / name).read_bytes()) for name in FILES}


def booster(folder: Path, name: str, columns: int) -> Booster:
    """One of a version's boosters, its structure checked first.

    Raises:
        ArtifactError: if its trees are not trees over `columns` columns.
    """
    import xgboost

    content = (folder / Path(name).name).read_bytes()
    check_trees(json.loads(content), columns)
    loaded = xgboost.Booster()
    loaded.load_model(bytearray(content))
    loaded.set_param({"nthread": 1})
    return loaded


def prune(folder: Path, keep: int) -> list[str]:
    """Delete all but the last `keep` promoted versions and what was made after the oldest of those; tells what went."""
    promoted = promoted_ids(folder)
    kept = promoted[-keep:]
    gone = [path for path in sorted((folder / "versions").iterdir()) if path.name < min(kept, default="")]
    if len(kept) < len(promoted):
        write_text(folder / "CURRENT", "\n".join(kept) + "\n")
    for path in gone:
        shutil.rmtree(path)
    return [path.name for path in gone]


def check_trees(model: dict[str, Any], columns: int) -> None:
    """See that every tree is a tree over known columns, as XGBoost itself does not.

    Raises:
        ArtifactError: naming tree and node.
    """
    try:
        trees = model["learner"]["gradient_booster"]["model"]["trees"]
        for number, tree in enumerate(trees):
            _check_tree(number, tree, columns)
    except (KeyError, TypeError, IndexError) as error:
        raise ArtifactError(f"booster: not an XGBoost tree model ({error!r}). Train anew.") from error


def _check_tree(number: int, tree: dict[str, Any], columns: int) -> None:
    left, right, parents = tree["left_children"], tree["right_children"], tree["parents"]
    split, conditions, defaults = tree["split_indices"], tree["split_conditions"], tree["default_left"]
    size = len(left)
    if int(tree["tree_param"]["num_nodes"]) != size or any(
        len(part) != size for part in (right, parents, split, conditions, defaults)
    ):
        raise ArtifactError(f"booster, tree {number}: arrays of different length. Train anew.")
    if any(tree.get("split_type", [])) or tree.get("categories"):
        raise ArtifactError(f"booster, tree {number}: categorical splits are not used here. Train anew.")
    for node in range(size):
        if (left[node] == -1) != (right[node] == -1):
            raise ArtifactError(f"booster, tree {number}, node {node}: one child only. Train anew.")
        if left[node] != -1:
            if not node < left[node] == right[node] - 1 < size - 1:  # XGBoost reads the right child at left + 1
                raise ArtifactError(f"booster, tree {number}, node {node}: children are not a pair below it.")
            if parents[left[node]] != node or parents[right[node]] != node:
                raise ArtifactError(f"booster, tree {number}, node {node}: not the parent of its children.")
            if not 0 <= split[node] < columns:
                raise ArtifactError(f"booster, tree {number}, node {node}: splits on column {split[node]}.")
