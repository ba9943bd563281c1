"""The command binds, names and guards the service as its options say."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from transfercast.cli import app

testclient = pytest.importorskip("fastapi.testclient")
uvicorn = pytest.importorskip("uvicorn")


def served(monkeypatch, *options, key=None):
    """The application that the command would serve."""
    begun = []
    monkeypatch.setattr(uvicorn, "run", lambda application, **how: begun.append(application))
    ended = CliRunner().invoke(app, ["serve", *options], env={"TRANSFERCAST_API_KEY": key})
    assert ended.exit_code == 0, ended.output
    return testclient.TestClient(begun[0])


@pytest.mark.parametrize(
    ("options", "right", "wrong"),
    [([], ["localhost:8000", "127.0.0.1", "[::1]:8000"], ["evil.example", "10.0.0.5"]),
     (["--allowed-host", "a.lan", "--allowed-host", "B.lan:80"], ["localhost", "a.lan", "b.lan"], ["evil.example"]),
     (["--host", "10.0.0.5"], ["10.0.0.5:8000", "localhost"], ["evil.example"]),
     (["--host", "0.0.0.0"], ["anything.example"], []),
     (["--host", "0.0.0.0", "--allowed-host", "forecasts.lan"], ["forecasts.lan"], ["anything.example"])],
)  # fmt: skip
def test_the_service_goes_by_the_names_that_were_given(monkeypatch, options, right, wrong):
    client = served(monkeypatch, *options, key="secret")
    for host in right:
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    for host in wrong:
        assert client.get("/healthz", headers={"Host": host}).status_code == 403


def test_what_is_reachable_from_elsewhere_needs_a_key():
    ended = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0"], env={"TRANSFERCAST_API_KEY": ""})
    assert ended.exit_code == 2
    assert "set TRANSFERCAST_API_KEY first" in ended.output
