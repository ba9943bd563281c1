"""Who may ask, by which name, from which page, with which key, and how much at once."""

from __future__ import annotations

import pytest

testclient = pytest.importorskip("fastapi.testclient")
app = pytest.importorskip("transfercast.service.app")
guard = pytest.importorskip("transfercast.service.guard")

HOSTS = ("127.0.0.1", "localhost", "::1", "forecasts.example")


@pytest.fixture(scope="module")
def client():
    return testclient.TestClient(app.create_app(hosts=HOSTS), base_url="http://localhost:8000")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]", "forecasts.example."])
def test_the_service_answers_to_its_names(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8000", "", "::1:8000x", "[::2]", "evil.example:@localhost"]
)
def test_a_page_whose_name_was_made_to_lead_here_is_refused(client, host):
    for path in ("/healthz", "/v1/models"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 403
        assert "--allowed-host" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:9000"},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8000"}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["models/roll-back", "models/0001-00000000/promote", "retrain", "forecasts", "observations"])
def test_a_page_of_another_origin_can_change_nothing(client, path, headers):
    answer = client.post(f"/v1/{path}", headers=headers)
    assert answer.status_code == 403
    assert "other origins" in answer.json()["detail"]
    assert client.delete("/v1/retrain/x", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://localhost:8000"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_programs_and_our_own_page_are_let_through(client, headers):
    assert client.post("/v1/models/roll-back", headers=headers).status_code == 422  # there is no version


def test_a_form_of_another_page_is_no_json(client):
    answer = client.post("/v1/observations", content='{"observations": []}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422  # there is no history, which is said first
    answer = client.post("/v1/forecasts", content='{"rows": []}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


def keyed(key="secret"):
    return testclient.TestClient(app.create_app(key=key))


@pytest.mark.parametrize(
    "sent", [None, "secret", "Bearer", "Bearer ", "Bearer wrong", "Basic secret", "Bearer  secret", "Bearersecret"]
)
def test_without_the_key_nothing_is_answered(sent):
    client = keyed()
    headers = {} if sent is None else {"Authorization": sent}
    assert client.post("/v1/models/roll-back", headers=headers).status_code == 401
    assert client.get("/v1/models", headers=headers).status_code == 401
    assert client.get("/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("key", "sent"), [("secret", b"Bearer secret"), ("secret", b"bearer secret"), ("gehäuse", "Bearer gehäuse".encode())]
)
def test_with_the_key_it_is(key, sent):
    assert keyed(key).post("/v1/models/roll-back", headers={"Authorization": sent}).status_code == 422


@pytest.mark.parametrize(
    ("length", "status"), [("9" * 5_000, 413), ("-1", 400), ("1e3", 400), (b"\xb2", 400), (str(2**60), 413)]
)
def test_a_length_that_is_none_or_too_large_is_refused_once_the_key_is_known(length, status):
    client = keyed()
    headers = {"Content-Length": length, "Content-Type": "application/json"}
    assert client.post("/v1/forecasts", content=b"{}", headers=headers).status_code == 401
    headers["Authorization"] = "Bearer secret"
    assert client.post("/v1/forecasts", content=b"{}", headers=headers).status_code == status


def test_a_body_that_does_not_say_its_length_is_bounded_all_the_same(client, monkeypatch):
    json_type = {"Content-Type": "application/json"}
    assert client.post("/v1/forecasts", content=iter([b"{", b"}"]), headers=json_type).status_code == 422
    monkeypatch.setattr(guard, "MOST_BYTES", 100)
    assert client.post("/v1/forecasts", content=iter([b" " * 60] * 2), headers=json_type).status_code == 413


def test_bodies_of_all_requests_together_are_bounded_and_let_go(client, monkeypatch):
    json_type = {"Content-Type": "application/json"}
    monkeypatch.setattr(guard, "MOST_HELD_BYTES", 100)
    for _ in range(3):
        assert client.post("/v1/forecasts", content=b" " * 80, headers=json_type).status_code == 422
    answer = client.post("/v1/forecasts", content=b" " * 101, headers=json_type)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert client.post("/v1/forecasts", content=b" " * 80, headers=json_type).status_code == 422


@pytest.mark.parametrize("path", ["/v1/retrain", "/v1/models/roll-back", "/v1/models/0001-00000000/promote"])
def test_a_request_that_needs_no_body_needs_none(client, path):
    request = client.build_request("POST", path)
    del request.headers["content-length"]
    assert client.send(request).status_code == 422  # no history, no predictor: no complaint about a length


def test_passwords_of_databases_are_in_no_answer(monkeypatch):
    from transfercast.service import refusals

    told = refusals.refusal(500, "postgresql://tc:S3KRETpw@db/x is down").body
    assert b"S3KRET" not in told
    assert b"postgresql://tc:***@db/x" in told
