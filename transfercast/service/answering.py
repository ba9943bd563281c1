"""Make forecasts and plans from the bodies of requests, in any process.

Bodies are read and written as bytes, because checking a hundred rows twice takes longer than forecasting them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from transfercast.core.choices import Bounds
from transfercast.core.errors import TransfercastError
from transfercast.planning.order import plan
from transfercast.predictor.data import Candidates
from transfercast.predictor.predictor import Predictor
from transfercast.service.messages import ForecastRequest, PlanRequest, answer_of
from transfercast.service.refusals import WrongBodyError, detail_of, parsed

Kind = Literal["forecast", "plan"]


class Question(NamedTuple):
    """The kind of a client's request, and its body."""

    kind: Kind
    body: bytes


Answer = tuple[int, bytes]
"""An HTTP status, and JSON: the result, or the mistakes in the request."""


def answered(predictor: Predictor, questions: Sequence[Question]) -> list[Answer]:
    """Answer several questions; forecasts take less time together than one by one."""
    answers: dict[int, Answer] = {}
    ready: dict[int, tuple[Candidates, float, Bounds | None]] = {}
    for number, question in enumerate(questions):
        try:
            if question.kind == "plan":
                answers[number] = 200, _plan(predictor, parsed(PlanRequest, question.body))
                continue
            request = parsed(ForecastRequest, question.body)
            rows = request.candidates_in(predictor.fitted)
            predictor.check(rows, request.coverage)
            if request.explain:
                answers[number] = 200, answer_of(predictor.forecast(rows, request.coverage, request.bounds))
            else:
                ready[number] = rows, request.coverage, request.bounds
        except WrongBodyError as error:
            answers[number] = 422, detail_of(error.mistakes)
        except TransfercastError as error:
            answers[number] = error.http_status, detail_of(str(error))
    for number, forecast in zip(ready, predictor.forecast_each(list(ready.values())), strict=True):
        answers[number] = 200, answer_of(forecast)
    return [answers[number] for number in range(len(questions))]


def _plan(predictor: Predictor, request: PlanRequest) -> bytes:
    table = request.table(predictor.fitted)
    forecast = predictor.predict(table, request.coverage, bounds=request.bounds, explain=False)
    return predictor.explained(plan(forecast, table, request.budget), table).model_dump_json().encode()
