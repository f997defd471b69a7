"""The fuzz finds what is wrong in an answer, and a small one finds nothing in ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from live import serving
from starlette.types import Receive, Scope, Send

from benchmarks.fuzz import Answer, books, fault, fuzz
from benchmarks.fuzz_requests import FuzzRequest, Requests
from service.engine.engine import Engine
from service.http.app import create_app
from service.settings import HttpSettings, Settings

COUNT = 150
DOCUMENT = {"paths": {"/sample": {"get": {"responses": {"200": {}, "422": {}}}}}}
ASKED = FuzzRequest(b"GET /sample HTTP/1.1\r\n\r\n", ("get", "/sample"))
FIELDS = {"X-Request-ID": "id", "X-Content-Type-Options": "nosniff", "Content-Type": "application/problem+json"}
PROBLEM = {
    "type": "t", "title": "A parameter is not valid", "status": 422, "detail": "d", "instance": "urn:id",
    "code": "invalid_parameters",
}  # fmt: skip


def answer(code_of_answer: int = 422, fields: dict[str, str] | None = None, **problem: Any) -> Any:
    return Answer(code_of_answer, {**FIELDS, **(fields or {})}, json.dumps({**PROBLEM, **problem}).encode())  # type: ignore[arg-type]


def test_a_small_fuzz_of_a_real_server_finds_nothing(start: Callable[..., Engine], bundles: Path) -> None:
    # Seconds enough for a busy machine, not for the suite: a body that never comes ends its request.
    settings = Settings(http=HttpSettings(head_seconds=2, body_seconds=2))
    with serving(create_app(start(bundles / "points", None), settings), settings) as live:
        findings = fuzz(f"http://127.0.0.1:{live.port}", COUNT, seed=1)
    assert findings.wrong == []
    assert sum(findings.answers.values()) == COUNT
    assert len(findings.answers) > 8, findings.answers
    assert findings.answers["200"] > COUNT / 8


def test_a_server_that_is_wrong_is_found_out() -> None:
    async def teapot(scope: Scope, receive: Receive, send: Send) -> None:
        parameter = {"name": "n", "in": "query", "schema": {"type": "integer"}}
        documents = {
            "/openapi.json": {"paths": {"/sample": {"get": {"responses": {"200": {}}, "parameters": [parameter]}}}},
            "/models": {"default": "m", "models": [{"name": "m", "latent_dim": 2}]},
        }
        body = json.dumps(documents.get(scope["path"], "oops")).encode()
        fields = [(b"content-length", str(len(body)).encode())]
        await send(
            {"type": "http.response.start", "status": 200 if scope["path"] in documents else 500, "headers": fields}
        )
        await send({"type": "http.response.body", "body": body})

    with serving(teapot, Settings()) as live:
        findings = fuzz(f"http://127.0.0.1:{live.port}", 20, seed=0)
    assert any("status 500" in text for text in findings.wrong)
    assert any("/livez says 500" in text for text in findings.wrong)


def test_right_answers_are_right() -> None:
    assert fault(ASKED, answer(), DOCUMENT) is None
    assert fault(ASKED, answer(200, {"Content-Type": "image/png"}), DOCUMENT) is None
    assert fault(FuzzRequest(b"", None), None, DOCUMENT) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (None, "closed without an answer"),
        (answer(500), "status 500"),
        (answer(fields={"X-Request-ID": ""}), "header that every answer has"),
        (answer(fields={"X-Content-Type-Options": ""}), "header that every answer has"),
        (answer(fields={"Content-Type": "application/json"}), "with application/json"),
        (answer(404), "another status"),
        (answer(404, status=404, code="not_found", title="There is nothing here"), "status 404 is not documented"),
        (answer(code="surprise"), "not our problem"),
        (answer(title="Oops"), "not our problem"),
        (answer(instance="urn:other"), "not the request id"),
    ],
)
def test_wrong_answers_are_found(wrong: Answer | None, says: str) -> None:
    assert says in (fault(ASKED, wrong, DOCUMENT) or "")


def test_books_are_read_from_the_exposition() -> None:
    counted = "\n".join(
        f"# TYPE winnow_{name} counter\nwinnow_{name}_total{{model={label}}} {value}"
        for name, label, value in (("decoded_rows", '"a"', 7), ("delivered_rows", '"a"', 4), ("rows_wasted", '"x"', 2))
    )
    assert books(f'{counted}\n# TYPE winnow_supply_rows gauge\nwinnow_supply_rows{{model="a"}} 1\n') == (7, 4, 2, 1)


def test_the_stream_of_requests_is_that_of_its_seed(api: Any) -> None:
    document = api.get("/openapi.json").json()

    def first(seed: int) -> list[FuzzRequest]:
        requests = Requests(document, ["images"], 16, seed)
        return list(islice(iter(requests.__next__, None), 200))

    assert first(1) == first(1) != first(2)
    routes = {request.route for request in first(1)}
    assert {("get", "/sample"), ("post", "/sample"), ("post", "/score"), None} <= routes
