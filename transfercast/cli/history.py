"""The commands `transfercast history import`, `export`, `show`, `trainings`, `describe`, `refresh` and `remove`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, condensed, say, say_next, show
from transfercast.core.errors import InputError
from transfercast.core.table import Better, Column, FeatureTable, Group
from transfercast.core.text import duration
from transfercast.core.validation import checked

history = typer.Typer(
    help="Observed transfers: import, export, show, correct. Example: transfercast history show --history history.db",
    no_args_is_help=True,
)
app.add_typer(history, name="history")

Place = Annotated[str, typer.Option("--history", help="A database URL, or an SQLite file.")]
Source = Annotated[Path, typer.Argument(help="CSV or Parquet; the columns source, target and score are required.")]

MOST_SHOWN = 20
"""Observations that `remove` shows before it asks."""


@history.command("import")
def import_file(
    file: Source,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Meaning of a column, as NAME:higher:GROUP or NAME:lower:GROUP; repeatable."),
    ] = None,
    place: Place = "history.db",
    as_json: AsJson = False,
) -> None:
    """Add the observations of a file; if a row is wrong, none is added, and runs that are in the history stay as they are.

    Example: transfercast history import transfers.csv --column "similarity:higher:embeddings" --history history.db
    """
    from transfercast.history.importing import observations_of
    from transfercast.history.store import History

    columns = _columns(column) if column else []
    observations = observations_of(file, [one.name for one in columns])  # before a database is made
    past = History(place)
    new = past.append(observations, columns)
    show([{"new": new, "in all": len(past)}], as_json)
    say_next(f"transfercast train-meta --history {place} --out meta", as_json)


@history.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet file to write, by its ending.")],
    curves: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file for the learning curves of all trainings, one row for each epoch.")
    ] = None,
    place: Place = "history.db",
    as_json: AsJson = False,
) -> None:
    """Write all observations to a file that `import` reads; with --curves, also the learning curves.

    Example: transfercast history export transfers.parquet --curves curves.parquet --history history.db
    """
    from transfercast.history.store import opened

    past = opened(place)
    written = past.export_file(file)
    say(f"{written} observations in {file}.", as_json)
    if curves is not None:
        say(f"{past.export_curves(curves)} epochs in {curves}.", as_json)
    say_next(f"transfercast history import {file} --history OTHER.db", as_json)


@history.command("show")
def show_history(place: Place = "history.db", as_json: AsJson = False) -> None:
    """Summarise the history: transfers, seeds and noise by target and encoder, on validation and on test rows.

    Example: transfercast history show --history history.db
    """
    from transfercast.history.store import opened

    past = opened(place)
    rows = past.summary()
    if as_json:
        return show(rows, as_json)
    if not rows:
        say("No observation yet.", as_json)
    for split in dict.fromkeys(row["split"] for row in sorted(rows, key=lambda row: row["split"] != "validation")):
        part = [{name: value for name, value in row.items() if name != "split"} for row in rows if row["split"] == split]
        lines, shared = condensed([_in_time(row) for row in part], common=("encoder", "metric"))
        show(lines, as_json, f"Scored on {split}. {shared}".rstrip())
    ended = Counter(one.ended for one in past.trainings())
    if ended:
        counts = ", ".join(f"{number} {how}" for how, number in ended.items())
        say(f"Trainings with their learning curves: {counts}; 'transfercast history trainings' shows them.", as_json)
    say_next(f"transfercast train-meta --history {place} --out meta", as_json)


@history.command("trainings")
def trainings(
    place: Place = "history.db",
    target: Annotated[str | None, typer.Option(help="Only those of this target.")] = None,
    as_json: AsJson = False,
) -> None:
    """List trainings: score after each epoch (* marks the epoch whose weights were kept), seconds, memory, how they ended.

    Example: transfercast history trainings --target admiration --history history.db
    """
    from transfercast.history.store import opened
    from transfercast.history.trainings import table_row

    found = opened(place).trainings(**({} if target is None else {"target": target}))
    if as_json:
        return show((asdict(one) for one in found), as_json)
    if not found:
        say("No training yet.", as_json)
    rows, shared = condensed([table_row(one) for one in found], common=("recipe", "seed", "ended"))
    show(rows, as_json, shared or None)
    say(
        "Scores are on validation, one for each epoch; * marks the epoch whose weights were kept. AP is its average precision.",
        as_json,
    )


@history.command("describe")
def describe(
    column: Annotated[list[str], typer.Argument(help="NAME:higher:GROUP, NAME:lower:GROUP or NAME:unknown:GROUP.")],
    place: Place = "history.db",
    as_json: AsJson = False,
) -> None:
    """Set or correct the meaning of columns of a history.

    Example: transfercast history describe "similarity:higher:embeddings" --history history.db
    """
    from transfercast.history.store import History, opened

    columns = _columns(column)
    opened(place)  # describing makes no new history
    past = History(place)
    past.describe(columns, replace=True)
    for one in columns:
        say(f"{one.name}: {one.better}, {one.group}.", as_json)


@history.command("refresh")
def refresh(
    table: Annotated[Path, typer.Argument(help="Feature table of pairs that were observed.")],
    place: Place = "history.db",
    as_json: AsJson = False,
) -> None:
    """Replace the features of observations by newer ones, for the pairs of a feature table.

    Example: transfercast history refresh features.parquet --history history.db
    """
    from transfercast.history.store import History, opened

    measured = FeatureTable.load(table)
    opened(place)
    changed = History(place).refresh(measured)
    say(f"{changed} observations have the features of {table}.", as_json)


@history.command("remove")
def remove(
    run_key: Annotated[str | None, typer.Option(help="Only the observation of this run.")] = None,
    source: Annotated[str | None, typer.Option(help="Only from this source; (alone) for targets trained alone.")] = None,
    target: Annotated[str | None, typer.Option(help="Only to this target.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Only with this recipe.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Only with this encoder; 'unknown' where none was named.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    place: Place = "history.db",
    as_json: AsJson = False,
) -> None:
    """Remove observations permanently, after showing which; an observation must meet all conditions.

    Example: transfercast history remove --encoder unknown --history history.db
    """
    from transfercast.history.store import History, opened

    wanted = {"run_key": run_key, "source": source, "target": target, "recipe": recipe, "encoder": encoder}
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        raise InputError("say what to remove: --run-key, --source, --target, --recipe or --encoder.")
    if as_json and not yes:
        raise InputError("--json asks nothing, so it needs --yes.")
    opened(place)
    past = History(place)
    rows = past.matching(**given)
    if as_json:
        show(rows, as_json)
    else:
        lines, shared = condensed([_brief(row) for row in rows[:MOST_SHOWN]], common=("recipe", "encoder", "seed", "split"))
        show(lines, as_json, shared or None)
    more = f" ({MOST_SHOWN} of them are shown)" if len(rows) > MOST_SHOWN else ""
    if not rows:
        return say("No observation matches; nothing was removed.", as_json)
    if not yes:
        typer.confirm(f"Remove {len(rows)} observations{more} permanently?", abort=True)
    removed = past.remove([str(row["run_key"]) for row in rows])
    say(f"{removed} observations removed; {len(past)} are left.", as_json)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "run_key": str(row["run_key"])[:12]}


def _in_time(row: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in row.items() if name != "hours"}, "time": duration(row["hours"])}


def _columns(texts: Iterable[str]) -> list[Column]:
    """Columns as a user describes them; a column of an installed measure gets that measure's name and version."""
    from transfercast.features.registry import measures
    from transfercast.history.descriptions import in_force

    described = [_column(text) for text in texts]
    in_force((), described)  # one column in two ways
    installed = {column.name: column for measure in measures().values() for column in measure.schema()}
    columns = []
    for column in described:
        own = installed.get(column.name, column)
        columns.append(column.model_copy(update={"measure": own.measure, "version": own.version}))
        try:
            in_force([own], columns[-1:])
        except InputError as error:
            raise InputError(
                f"column {column.name!r} is made by the measure {own.measure}, whose columns are {own.better}:{own.group}. "
                "Write that, or give the column another name."
            ) from error
    return columns


def _column(text: str) -> Column:
    name, _, rest = text.partition(":")
    better, _, group = rest.partition(":")
    remedy = f"Write NAME:higher:GROUP or NAME:lower:GROUP; groups are {', '.join(get_args(Group))}."
    if better not in get_args(Better):
        raise InputError(f"column {text!r}: {better!r} is not one of {', '.join(get_args(Better))}. {remedy}")
    fields = {"name": name, "measure": name, "version": 1, "better": better, "group": group}
    return checked(Column, f"column {text!r}", fields, remedy=remedy)
