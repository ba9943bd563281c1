"""The command `transfercast pool show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, condensed, say, say_next, show
from transfercast.core.text import megabytes

pool = typer.Typer(help="A pool of sources. Example: transfercast pool show pool", no_args_is_help=True)
app.add_typer(pool, name="pool")


@pool.command("show")
def show_pool(
    folder: Annotated[Path, typer.Argument(help="Folder of the pool.")] = Path("pool"),
    as_json: AsJson = False,
) -> None:
    """Show the sources of a pool: encoder, recipe, scores, and size on the disk.

    Example: transfercast pool show pool
    """
    from transfercast.core.files import size_of
    from transfercast.sources.pool import SourcePool

    held = SourcePool.load(folder)
    sources = {name: size_of(held.folder / "sources" / name) for name in held}
    rows = [
        {
            "source": source.name,
            "kind": str(source.kind),
            "encoder": source.encoder,
            "recipe": source.recipe or f"adopted from {source.checkpoint}",
            "metric": source.metric,
            "validation": source.scores.get("validation"),
            "test": source.scores.get("test"),
            "disk": sources[source.name] if as_json else megabytes(sources[source.name]),
            "warning": source.warning if as_json else source.mark,
        }
        for source in held.values()
    ]
    rows, shared = (rows, "") if as_json else condensed(rows, common=("kind", "encoder", "recipe", "metric"))
    show(rows, as_json, shared or None)
    parts = {part: size_of(held.folder / part) for part in ("targets", "searches")}
    say(
        f"{len(held)} sources, {megabytes(sum(sources.values()))}; targets trained alone {megabytes(parts['targets'])}, "
        f"models of searches {megabytes(parts['searches'])}.",
        as_json,
    )
    say_next(f"transfercast features {folder} tasks.toml", as_json)
