"""Routes that turn a feature table, uploaded or from the folder, into the rows of a request for forecasts or plans."""

from __future__ import annotations

import asyncio
import io
import math
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from transfercast.core.errors import InputError
from transfercast.core.files import reason
from transfercast.core.table import AloneFacts, FeatureTable
from transfercast.service.bodies import described_file, file_body
from transfercast.service.files import Files
from transfercast.service.limits import MOST_FEATURES, MOST_ROWS, MOST_TABLE_BYTES
from transfercast.service.messages import TableNames, TableRows

PARQUET = "application/octet-stream"


def table_routes(files: Files) -> APIRouter:
    """Feature tables as JSON."""
    router = APIRouter(prefix="/v1")

    @router.get("/tables")
    def names() -> TableNames:
        """Feature tables of the folder that the service was started with."""
        return TableNames(tables=files.tables())

    @router.get("/tables/{name}", responses={200: {"model": TableRows}})
    def table(name: str) -> Response:
        """A feature table of the folder; with a budget, the answer is the body of POST /v1/plans."""
        return _rows_of(files.table(name))

    @router.post("/tables", responses={200: {"model": TableRows}}, openapi_extra=described_file(PARQUET))
    async def upload(request: Request) -> Response:
        """A feature table sent as Parquet, which is not kept; with a budget, the answer is the body of POST /v1/plans."""
        content = await file_body(request, PARQUET)
        return await asyncio.to_thread(lambda: _rows_of(_loaded(content)))

    return router


def _loaded(content: bytes) -> FeatureTable:
    """A table from a file's bytes, whose unpacked size is checked first.

    Raises:
        InputError: if it is not a Parquet file, or too large.
        ArtifactError: if it is not a feature table.
    """
    try:
        about = pq.ParquetFile(io.BytesIO(content)).metadata
        unpacked = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"this is no Parquet file ({reason(error)}); 'transfercast features' writes one.") from error
    if about.num_rows > MOST_ROWS or about.num_columns > MOST_FEATURES or unpacked > MOST_TABLE_BYTES:
        raise InputError(
            f"the table has {about.num_rows} rows, {about.num_columns} columns and {unpacked} bytes; at most {MOST_ROWS}, "
            f"{MOST_FEATURES} and {MOST_TABLE_BYTES} are taken."
        )
    with tempfile.TemporaryDirectory(prefix="transfercast-") as folder:
        place = Path(folder) / "table.parquet"
        place.write_bytes(content)
        return FeatureTable.load(place)


def _rows_of(table: FeatureTable) -> Response:
    """A TableRows in JSON."""
    about = table.provenance
    targets = {
        name: {
            **_alone(facts),
            "metric": facts.metric,
            "train_rows": facts.train_rows,
            "alone": {encoder: _alone(known) for encoder, known in facts.alone.items()},
        }
        for name, facts in about.targets.items()
    }
    content = {
        "rows": [
            {
                "source": candidate.source,
                "target": candidate.target,
                "recipe": candidate.recipe,
                "features": _known(table.frame.columns.tolist(), values.tolist()),
            }
            for candidate, values in zip(table.candidates, table.frame.to_numpy(), strict=True)
        ],
        "targets": targets,
        "columns": [column.model_dump() for column in table.schema],
        "encoder": about.encoder,
        "encoders": about.encoders,
    }
    return Response(to_json(content), media_type="application/json")


def _alone(facts: AloneFacts) -> dict[str, float | None]:
    return {"score": facts.score, "seconds_per_row_epoch": facts.seconds_per_row_epoch or None}


def _known(names: list[str], values: list[float]) -> dict[str, Any]:
    return {name: value for name, value in zip(names, values, strict=True) if math.isfinite(value)}
