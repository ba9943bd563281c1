"""The commands `transfercast history import`, `export` and `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer
from pydantic import ValidationError

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, show
from transfercast.core.errors import InputError
from transfercast.core.table import Column, Group

history = typer.Typer(
    help="Observed transfers: import, export, look. Example: transfercast history show --history history.db",
    no_args_is_help=True,
)
app.add_typer(history, name="history")

Place = Annotated[str, typer.Option("--history", help="A database URL, or an SQLite file.")]


@history.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet; columns source, target, score are needed.")],
    column: Annotated[
        list[str] | None, typer.Option(help="What a column means, as NAME:higher:GROUP or NAME:lower:GROUP; again for more.")
    ] = None,
    place: Place = "history.db",
    as_json: AsJson = False,
) -> None:
    """Add the observations of a file; nothing is kept if a row is wrong, and a run that is there stays as it is.

    Example: transfercast history import transfers.csv --column "similarity:higher:embeddings" --history history.db
    """
    from transfercast.history.store import History

    described = [_column(text) for text in column or ()]
    past = History(place)
    past.describe(described)
    new = past.import_file(file)
    show([{"new": new, "in all": len(past)}], as_json)
    say(f"Next: transfercast train-meta --history {place} --out meta", as_json)


@history.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, by its ending.")],
    place: Place = "history.db",
    as_json: AsJson = False,
) -> None:
    """Write all observations, so that `import` reads them.

    Example: transfercast history export transfers.parquet --history history.db
    """
    from transfercast.predictor.retrain import opened

    written = opened(place).export_file(file)
    say(f"{written} observations in {file}.", as_json)


@history.command("show")
def show_history(place: Place = "history.db", as_json: AsJson = False) -> None:
    """What was observed: transfers, seeds and noise by target and encoder.

    Example: transfercast history show --history history.db
    """
    from transfercast.predictor.retrain import opened

    show(opened(place).summary(), as_json)


def _column(text: str) -> Column:
    name, _, rest = text.partition(":")
    better, _, group = rest.partition(":")
    try:
        return Column.model_validate({"name": name, "measure": name, "version": 1, "better": better, "group": group})
    except ValidationError as error:
        raise InputError(
            f"--column {text!r}: write NAME:higher:GROUP or NAME:lower:GROUP; groups are {', '.join(get_args(Group))}."
        ) from error
