"""Whatever the OpenAPI schema allows, and some that it does not, the service answers without a 5xx, and as it says."""

from __future__ import annotations

import hypothesis
import pytest

from tests.builders import past
from transfercast.retraining.retrain import train_meta

schemathesis = pytest.importorskip("schemathesis")
app = pytest.importorskip("transfercast.service.app")
jobs = pytest.importorskip("transfercast.service.jobs")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    train_meta(past(), folder / "meta", minutes=0)
    with pytest.MonkeyPatch.context() as without:
        without.setattr(jobs.Jobs, "_wait", lambda self, job, command, said: said.write_text("no process in this test") * 0 + 1)
        yield schemathesis.openapi.from_asgi("/openapi.json", app.create_app(folder / "meta", history=str(folder / "h.db")))


CHECKS = (
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
)


def takes_json(operation):
    return any(body.media_type == "application/json" for body in operation.body)


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_no_request_ends_in_a_mistake_of_ours(service, mode):
    asked = set()
    for operation in (result.ok() for result in service.get_all_operations()):
        if mode == schemathesis.GenerationMode.NEGATIVE and not takes_json(operation):
            continue  # there is no wrong request without a body, and any bytes may be a file

        @hypothesis.settings(
            max_examples=15, derandomize=True, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            asked.add((case.method, case.path))
            case.validate_response(case.call(), checks=CHECKS)

        ask()
    assert len(asked) == (24 if mode == schemathesis.GenerationMode.POSITIVE else 5)
