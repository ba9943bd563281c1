"""One version of a predictor on disk: a folder of JSON and Markdown, no pickle. Format 7.

    meta/versions/ID/manifest.json    format, what it was fitted on, SHA-256 of the other files
    meta/versions/ID/regressor.json   XGBoost's own JSON
    meta/versions/ID/model.json       columns, shares of the models, calibration, difficulty, names of the matrix
    meta/versions/ID/matrix.safetensors   the performance matrix and the targets' profiles
    meta/versions/ID/residuals.json   held-out residuals by target
    meta/versions/ID/report.json      metrics, and whether and why it was promoted
    meta/versions/ID/CARD.md          the same for people

Hashes show damage. Contents are checked in `persistence`, and boosters in `boosters`; `versions` keeps which version is in
force. Raise FORMAT when an older version of the package would misread a folder. Formats 1 to 6 (other models) are refused: a
new predictor can be learned from the history.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transfercast.core.errors import ArtifactError
from transfercast.core.files import parse_json, read_json, reason, sha256_of, write_json

FORMAT = 7
FILES = ("model.json", "residuals.json", "report.json")


def write(folder: Path, manifest: dict[str, Any], binary: dict[str, bytes], parts: dict[str, Any], card: str) -> None:
    """Write the files of a version into a new folder, the manifest last."""
    for name, content in binary.items():
        (folder / name).write_bytes(content)
    for name, content in parts.items():
        write_json(folder / name, content)
    (folder / "CARD.md").write_text(card, encoding="utf-8")
    hashes = {name: sha256_of(folder / name) for name in (*FILES, *binary)}
    write_json(folder / "manifest.json", {"format": FORMAT, **manifest, "sha256": hashes})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a version; its other files are not read.

    Raises:
        InputError: if it does not exist.
        ArtifactError: if it is damaged, or has another format.
    """
    manifest = read_json(folder / "manifest.json", "a predictor", FORMAT)
    if manifest["format"] < FORMAT:
        raise ArtifactError(
            f"{folder} has format {manifest['format']}; this version reads {FORMAT}. Train anew from its history."
        )
    return manifest


def read(folder: Path) -> tuple[dict[str, Any], dict[str, bytes], dict[str, Any]]:
    """The files of a version, after a check of their hashes against the manifest.

    Returns:
        The manifest, all other files by name, and the JSON contents of FILES by name.

    Raises:
        InputError: if there is no manifest.
        ArtifactError: if a file is missing, changed, not JSON, or has another format.
    """
    manifest = read_manifest(folder)
    hashes = manifest.get("sha256", {})
    if not isinstance(hashes, dict) or set(FILES) - set(hashes):
        raise ArtifactError(f"{folder}/manifest.json: has no hash of {', '.join(FILES)}. Roll back, or train anew.")
    contents: dict[str, bytes] = {}
    for name, expected in hashes.items():
        path = folder / Path(name).name
        try:
            same = path.is_file() and sha256_of(path) == expected
            contents[name] = path.read_bytes() if same else b""
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            raise ArtifactError(f"{path}: cannot be read ({reason(error)}). Roll back, or train anew.") from error
        if not same:
            raise ArtifactError(f"{path}: missing or changed since the manifest was written. Roll back, or train anew.")
    return manifest, contents, {name: parse_json(contents[name], str(folder / name)) for name in FILES}
