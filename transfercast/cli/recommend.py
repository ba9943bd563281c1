"""The command `transfercast recommend`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfercast.cli import app
from transfercast.cli.adopting import Adopt, Request, adopt_all, refuse_missing
from transfercast.cli.data import (
    FileOptions,
    Format,
    Label,
    Labels,
    Metric,
    Positive,
    StatedKindOption,
    Target,
    Text,
    TextPair,
    target_of,
)
from transfercast.cli.output import AsJson, Device, say, say_next, say_tasks, show
from transfercast.cli.plan import expected, say_published, show_steps
from transfercast.cli.search import report
from transfercast.core.errors import InputError
from transfercast.core.progress import waiting
from transfercast.core.records import Recipe, checked_seed

if TYPE_CHECKING:
    from transfercast.corpus.hub import HubModel

DEFAULT_POOL = Path("pool")


@app.command()
def recommend(
    data: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet or CoNLL file of the new task, or a tasks.toml.")],
    pool: Annotated[Path | None, typer.Option(help="Folder of the pool; by default pool, if that folder exists.")] = None,
    adopt: Adopt = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="With --adopt: the base encoder of the adopted models; see fit-sources. Without a pool and adopted models: "
            "the encoder whose published fine-tuned models are compared."
        ),
    ] = None,
    text: Text = "text",
    text_pair: TextPair = None,
    label: Label = "label",
    labels: Labels = None,
    kind: StatedKindOption = None,
    metric: Metric = None,
    positive: Positive = None,
    file_format: Format = None,
    target: Target = None,
    rows: Annotated[
        int | None, typer.Option(min=2, help="Largest number of training rows to read from the file; by default all.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, max=10**9, help="Number of transfers to plan.")] = 5,
    predictor: Annotated[
        Path | None, typer.Option(help="Folder that train-meta wrote; by default the package's predictor.")
    ] = None,
    history: Annotated[
        str,
        typer.Option(
            help="History that trainings are recorded in; those that it holds count as done and are not proposed again."
        ),
    ] = "sqlite:///history.db",
    recipe: Annotated[str, typer.Option(help="How to train; see fit-sources.")] = "full",
    seed: Annotated[int, typer.Option(help="Random seed of the trainings.")] = 0,
    documents: Annotated[int, typer.Option(min=1, help="Largest number of positive documents of each set to attribute.")] = 64,
    run: Annotated[bool, typer.Option("--run", help="Also run the trainings, in the order of the plan.")] = False,
    out: Annotated[Path, typer.Option(help="JSON file to write the plan to.")] = Path("plan.json"),
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes: number of sources measured, or of trainings, at the same time.")
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Recommend sources of a pool for a new data set: which to train from, in which order, and why.

    The target is trained alone from each base encoder of the pool; then every source is measured against it. Earlier
    measurements are used again, and trainings that are in the history are not repeated.

    Example: transfercast recommend reviews.csv --pool pool --label helpful --trials 5

    Without a pool, it lists models of the Hugging Face hub by published measurements; nothing is downloaded or trained.

    Example: transfercast recommend reviews.csv --adopt sent=models/sentiment@0.83 --adopt irony=models/irony --run

    Example: transfercast recommend reviews.csv --encoder roberta-base
    """
    from transfercast.core.files import check_file
    from transfercast.history.places import database_url, file_of
    from transfercast.predictor.predictor import Predictor
    from transfercast.sources.pool import SourcePool

    parsed = Recipe.parse(recipe)
    checked_seed(seed)
    check_file(out)
    file = file_of(database_url(history))
    past = history if file is None or file.is_file() else None
    requests = [Request.parse(one) for one in adopt or []]
    task = target_of(data, target, rows, FileOptions(text, text_pair, label, kind, metric, positive, file_format, labels))
    if pool is None and not requests and not DEFAULT_POOL.is_dir():
        if encoder is None:
            raise InputError(
                "no pool to choose from. Name one with --pool, models with --adopt NAME=MODEL, or, for published models of the "
                "Hugging Face hub, the encoder that you start from, as in --encoder roberta-base."
            )
        say_tasks([task], as_json)
        _show_hub_models(data, encoder, text_pair is not None, trials, as_json)
        return
    pool = pool or DEFAULT_POOL
    refuse_missing(requests, [] if encoder is None else [encoder])
    in_force = Predictor.load(predictor)
    say_tasks([task], as_json)
    adopt_all(pool, requests, encoder)
    held = SourcePool.load(pool)

    with waiting("loading libraries"):  # torch, which takes seconds, comes after the checks
        from transfercast.execution.recommend import recommend as recommended

    made = recommended(
        task, held, trials=trials, predictor=in_force, history=past,
        recipe=parsed, seed=seed, documents=documents, jobs=jobs, device=device,
    )  # fmt: skip
    made.save(out)
    if run:
        from transfercast.execution.search import search

        report(search(made, history, jobs=jobs, device=device), history, as_json)
        return
    say(made.basis, as_json)
    show_steps(made, as_json)
    say_published(made, as_json)
    say(f"{expected(made)} In {out}.", as_json)
    say_next(f"transfercast search {out} --storage {history}", as_json)


def _show_hub_models(data: Path, encoder: str, pairs: bool, most: int, as_json: bool) -> None:
    """Print the fine-tuned models of an encoder that helped published data sets most."""
    from transfercast.corpus.hub import hub_models

    models = hub_models(encoder, pairs=pairs, most=most)
    show([asdict(model) for model in models] if as_json else [_for_people(model) for model in models], as_json)
    say(
        f"gain: points of accuracy over {encoder} itself; from and to: its bounds for nine of ten targets; measured on "
        f"{models[0].sets} published sets of {'pairs of texts' if pairs else 'single texts'} (IBM/model-recycling), not on "
        f"{data.name}.",
        as_json,
    )
    command = f"transfercast recommend {data} --encoder {encoder} --adopt first={models[0].name}"
    say_next(command, as_json, lead="To measure the first on it")


def _for_people(model: HubModel) -> dict[str, str]:
    return {
        "model": model.name,
        "gain": f"{100 * model.gain:+.1f}",
        "from": f"{100 * model.low:+.1f}",
        "to": f"{100 * model.high:+.1f}",
        "better": f"{100 * model.better:.0f} %",
        "helped": f"{model.helped} of {model.sets} sets",
    }
