"""Routes for the words that drive decisions. Models are loaded by `transfercast explain`, a process of its own, with torch."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from transfercast.core.errors import InputError
from transfercast.core.text import redacted
from transfercast.service.bodies import described, json_body
from transfercast.service.limits import TERM_SECONDS
from transfercast.service.messages import TermAnswer, TermRow, Terms, TermSources
from transfercast.service.refusals import BusyError, parsed

NEEDS = "Words are explained where the models are: start the service with --pool FOLDER, on a machine with torch."


def term_routes(pool: Path | None) -> APIRouter:
    """Words and shared terms of the sources of a pool."""
    router = APIRouter(prefix="/v1")
    turn = asyncio.Lock()

    @router.get("/terms")
    def sources() -> TermSources:
        """Sources whose words can be explained."""
        found = _sources(pool)
        return TermSources(sources=found, needs="" if found else NEEDS)

    @router.post("/terms", openapi_extra=described(Terms))
    async def terms(request: Request) -> TermAnswer:
        """The words of a text with their activity for a source, or the terms that drive both of two sources."""
        asked = parsed(Terms, await json_body(request))
        known = _sources(pool)
        for name in (asked.source, asked.second):
            if name is not None and name not in known:
                raise InputError(f"no source {name!r}; {NEEDS if not known else 'GET /v1/terms lists them.'}")
        if turn.locked():
            raise BusyError("another text is being explained; try again")
        async with turn:
            return await asyncio.to_thread(_explained, asked, str(pool))

    return router


def _sources(pool: Path | None) -> list[str]:
    return [] if pool is None else sorted(path.parent.name for path in pool.glob("sources/*/source.json"))


def _explained(asked: Terms, pool: str) -> TermAnswer:
    """Run `transfercast explain`.

    Raises:
        InputError: with its error message.
        BusyError: if it takes too long.
    """
    what = [asked.source, asked.text] if asked.text is not None else [f"{asked.source}:{asked.second}"]
    options = ["--pool", pool, "--json"]
    command = [sys.executable, "-m", "transfercast", "explain", *options, "--", *(one for one in what if one is not None)]
    try:
        told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TERM_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise BusyError(f"this took longer than {TERM_SECONDS:g} s; send a shorter text") from error
    said = redacted(told.stderr.decode("utf-8", "replace"))
    if told.returncode != 0:
        raise InputError(
            said.strip().splitlines()[-1].removeprefix("error: ") if said.strip() else "this could not be explained."
        )
    rows = [_row(json.loads(line)) for line in told.stdout.splitlines()]
    about = [line for line in said.splitlines() if "probability" in line or "terms reach" in line]
    return TermAnswer(about=about[-1] if about else "", terms=rows)


def _row(row: dict[str, Any]) -> TermRow:
    if "word" in row:
        return TermRow(term=row["word"], value=row["activity"])
    return TermRow(term=row["term"], value=row["weight"], documents=row["documents"])
