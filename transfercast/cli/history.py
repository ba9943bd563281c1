"""The commands `transfercast history import`, `export` and `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, show

history = typer.Typer(help="Observed transfers: import, export, look.", no_args_is_help=True)
app.add_typer(history, name="history")

Place = Annotated[str, typer.Option("--history", help="A database URL, or an SQLite file.")]


@history.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet; columns source, target, score are needed.")],
    place: Place = "history.db",
    as_json: AsJson = False,
) -> None:
    """Add the observations of a file; nothing is kept if a row is wrong, and a run that is there stays as it is.

    Example: transfercast history import transfers.csv --history history.db
    """
    from transfercast.history.store import History

    past = History(place)
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
