"""The command `transfercast fit-maps`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, Device, say, say_next, show
from transfercast.core.poolings import Pooling
from transfercast.core.progress import waiting


@app.command()
def fit_maps(
    pool: Annotated[Path, typer.Argument(help="Folder of the pool.")],
    out: Annotated[Path, typer.Option(help="Folder for the maps, one folder each.")] = Path("maps"),
    pooling: Annotated[
        Pooling,
        typer.Option(help="Pooling of embeddings; hf-dataset-selector uses pooler for BERT and cls for other encoders."),
    ] = "mean",
    rows: Annotated[int, typer.Option(min=2, help="Largest number of rows of each source's own task.")] = 1000,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Fit an embedding space map for every source of a pool, in the file format of hf-dataset-selector.

    With maps, `transfercast rank` needs one pass of the base encoder and no pass of the sources.

    Example: transfercast fit-maps pool --out maps
    """
    from transfercast.sources.pool import SourcePool

    held = SourcePool.load(pool)
    with waiting("loading libraries"):  # torch, which takes seconds, comes after the checks
        from transfercast.features.fit_maps import fit_maps as fit

    written = fit(held, out, pooling=pooling, rows=rows, device=device)
    show(({"map": path.name, "folder": str(path)} for path in written), as_json)
    say(f"{len(written)} maps.", as_json)
    say_next(f"transfercast rank DATA.csv --maps {out}", as_json)
