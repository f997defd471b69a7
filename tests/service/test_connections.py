"""A connection over a real socket: bounded heads, an end to every wait, and each refusal is a problem."""

from __future__ import annotations

import logging
import select
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any
from unittest.mock import MagicMock

import pytest
from live import PATIENCE, Live, request, serving
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from service.http.app import create_app
from service.http.connections import EdgeProtocol, uvicorn_config
from service.http.state import Grace
from service.settings import HttpSettings, LimitSettings, Settings

LIMITS = LimitSettings(target_bytes=200, header_bytes=600, header_count=20, body_bytes=100_000)
# A wait that is tested ends soon, any other one later than its test.
SOON, LATE = 0.1, 3 * PATIENCE
Edge = Callable[..., Live]


@pytest.fixture
def edge(start: Any) -> Iterator[Edge]:
    """Serve with these HttpSettings beside short limits and long patience; ``app`` in place of ours."""
    with ExitStack() as opened:

        def run(app: ASGIApp | None = None, **http: Any) -> Live:
            patience = dict.fromkeys(("head_seconds", "body_seconds", "stall_seconds", "keep_alive_seconds"), LATE)
            settings = Settings(http=HttpSettings(**{**patience, **http}), limits=LIMITS)
            return opened.enter_context(serving(app or create_app(start(), settings), settings))

        yield run


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ("nonsense\r\n\r\n", 400, "malformed"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01", 400, "malformed"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "malformed"),
        ("GET /a b HTTP/1.1\r\nHost: t\r\n\r\n", 400, "malformed"),
        (request("/score", "POST", "Content-Length: 5", "Content-Length: 6"), 400, "malformed"),
        (request("/score", "POST", "Content-Length: -1"), 400, "malformed"),
        (request("/score", "POST", "Content-Length: 3", "Transfer-Encoding: chunked"), 400, "malformed"),
        (request("/score", "POST", "Transfer-Encoding: gzip"), 501, "not_implemented"),
        (request("/livez?" + "a" * 200), 414, "target_too_long"),
        ("GET /livez?" + "a" * 2_000, 414, "target_too_long"),
        (request("/livez", "GET", "X: " + "a" * 600), 431, "headers_too_large"),
        ("GET /livez HTTP/1.1\r\nX: " + "a" * 2_000, 431, "headers_too_large"),
        (request("/livez", "GET", *["X: y"] * 20), 431, "headers_too_large"),
    ],
)
def test_a_head_that_cannot_be_served_is_a_problem_and_the_end(edge: Edge, said: str, status: int, code: str) -> None:
    live = edge()
    wire = live.wire()
    answer = wire.ask(said)
    assert (answer.status, answer.problem()["code"]) == (status, code)
    assert answer.headers["connection"] == "close"
    assert wire.closed()
    assert live.ask(request()).status == 200


def test_a_head_just_within_the_bounds_is_served(edge: Edge) -> None:
    live = edge()
    assert live.ask(request("/livez?" + "a" * 193)).status == 200
    assert live.ask(request("/livez", "GET", "X: " + "a" * (600 - 14 - 5))).status == 200
    assert live.ask(request("/livez", "GET", *["X: y"] * 19)).status == 200


def test_a_refused_head_of_a_head_request_has_no_body(edge: Edge) -> None:
    wire = edge().wire()
    answer_without_body = wire.ask(request("/livez?" + "a" * 200, "HEAD", "Connection: close") + request())
    assert answer_without_body.status == 414
    assert answer_without_body.body == b""


def test_a_refused_head_leaves_one_access_line_and_no_warning(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "winnow"):
        answer = edge().ask("nonsense\r\n\r\n")
    (line,) = [vars(record) for record in caplog.records if record.name.startswith("winnow.access")]
    assert (line["status"], line["code"], line["request_id"]) == (400, "malformed", answer.headers["x-request-id"])


def test_a_connection_that_says_nothing_is_closed_without_a_word(edge: Edge) -> None:
    assert edge(head_seconds=SOON).wire().closed()


def test_a_head_that_never_ends_is_too_slow(edge: Edge) -> None:
    wire = edge(head_seconds=SOON).wire()
    answer = wire.ask("GET /livez HTTP/1.1\r\nHost:")
    assert answer.problem()["code"] == "too_slow"
    assert wire.closed()


def test_a_second_head_that_never_ends_is_too_slow(edge: Edge) -> None:
    wire = edge(head_seconds=SOON).wire()
    assert wire.ask(request()).status == 200
    assert wire.ask("GET /livez").problem()["code"] == "too_slow"
    assert wire.closed()


def test_an_idle_connection_is_kept_for_the_keep_alive_time_and_then_closed(edge: Edge) -> None:
    wire = edge(head_seconds=SOON, keep_alive_seconds=1).wire()
    assert wire.ask(request()).status == 200
    assert wire.closed()


def test_an_idle_connection_owes_no_head(edge: Edge) -> None:
    live = edge(head_seconds=SOON)
    wire = live.wire()
    assert wire.ask(request()).status == 200
    assert live.wire().closed()  # as long as a head may take, and later begun
    assert wire.ask(request()).status == 200


@pytest.mark.parametrize("path", ["/score", "/sample"])
def test_a_body_that_never_ends_is_too_slow_for_any_route(
    edge: Edge, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "winnow"):
        wire = edge(body_seconds=SOON).wire()
        head = request(path, "POST", "Content-Type: application/json", "Content-Length: 50")
        answer = wire.ask(head)
        assert answer.problem()["code"] == "too_slow"
        assert wire.closed()
    lines = [vars(record) for record in caplog.records if record.name == "winnow.access"]
    assert [(line["outcome"], line["levelname"]) for line in lines] == [("invalid", "INFO")]


def test_a_body_that_comes_too_late_for_a_server_that_drains_is_refused(start: Any) -> None:
    settings, grace = Settings(), Grace(30.0)
    with serving(create_app(start(), settings), settings, grace) as live:
        late, quick = live.wire(), live.wire()
        for wire in (late, quick):
            wire.send(request("/score", "POST", "Content-Type: application/json", "Content-Length: 2"))
        assert quick.ask("[]").problem()["code"] != "draining"
        grace.begin()
        answer = late.ask("[")
        assert answer.problem()["code"] == "draining" and 28 <= int(answer.headers["retry-after"]) <= 30
        assert live.ask(request("/livez")).status == 200


def test_a_body_that_never_ends_after_its_answer_ends_the_connection(edge: Edge) -> None:
    wire = edge(body_seconds=SOON).wire()
    assert wire.ask(request("/models", "POST", "Content-Length: 50")).status == 405
    assert wire.closed()


def test_a_chunk_that_is_none_is_a_problem(edge: Edge) -> None:
    fields = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    answer = edge().ask(request("/score", "POST", *fields, body="nonsense\r\n"))
    assert answer.problem()["code"] == "malformed"


def test_slow_but_steady_is_served(edge: Edge) -> None:
    wire = edge().wire()
    for byte in request():
        wire.send(byte)
    assert wire.answer().status == 200


def test_a_body_longer_than_allowed_is_refused_while_it_is_sent(edge: Edge) -> None:
    wire = edge().wire()
    head = request("/score", "POST", "Content-Type: application/json", "Transfer-Encoding: chunked")
    wire.send(head)
    for _ in range(2):
        wire.send(f"{60_000:x}\r\n{' ' * 60_000}\r\n")
    assert wire.answer().problem()["code"] == "body_too_large"
    assert wire.closed()


def test_a_declared_body_longer_than_allowed_is_refused_before_it_is_sent(edge: Edge) -> None:
    head = request("/score", "POST", "Content-Type: application/json", "Content-Length: 100001", "Expect: 100-continue")
    assert edge().ask(head).problem()["code"] == "body_too_large"


def test_a_client_that_leaves_while_it_sends_its_body_is_cancelled_not_failed(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "winnow"):
        live = edge()
        wire = live.wire()
        wire.send(request("/score", "POST", "Content-Type: application/json", "Content-Length: 50", body="{"))
        live.ask(request())  # by then the server has read the first
        wire.close()
        live.ask(request())
        while live.server.server_state.tasks:
            live.ask(request())
    lines = [vars(record) for record in caplog.records if vars(record).get("path") == "/score"]
    assert [(line["outcome"], line["levelname"]) for line in lines] == [("cancelled", "INFO")]


async def heavy(scope: Scope, receive: Receive, send: Send) -> None:
    """More than any socket buffer holds."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(2**26)})


@pytest.mark.parametrize("line", ["Connection: keep-alive", "Connection: close"])
def test_a_reader_that_takes_nothing_is_cut_off(edge: Edge, line: str) -> None:
    wire = edge(heavy, stall_seconds=SOON).wire()
    wire.send(request("/", "GET", line))
    hung_up = select.poll()
    hung_up.register(wire.socket, 0)
    assert hung_up.poll(1e3 * PATIENCE)


def test_a_slow_reader_is_not_cut_off() -> None:
    settings, loop = Settings(), MagicMock()
    config = uvicorn_config(heavy, settings, grace := Grace(1.0))
    config.load()
    protocol = EdgeProtocol(config, ServerState(), {}, loop, http=settings.http, limits=settings.limits, grace=grace)
    protocol.transport = transport = MagicMock()
    for left in (100, 99, 1):
        transport.get_write_buffer_size.return_value = left
        if left == 100:
            protocol._cut_off_later()
        else:
            loop.call_later.call_args.args[1](*loop.call_later.call_args.args[2:])
        assert not transport.abort.called
    loop.call_later.call_args.args[1](*loop.call_later.call_args.args[2:])
    assert transport.abort.called


def test_a_full_house_says_so_and_still_answers_probes(edge: Edge) -> None:
    live = edge(max_connections=2, keep_alive_seconds=7)
    seated = [live.wire(), live.wire()]
    assert [wire.ask(request("/models")).status for wire in seated] == [200, 200]
    wire = live.wire()
    assert wire.ask(request("/readyz")).status == 200
    answer = wire.ask(request("/models"))
    assert answer.problem()["code"] == "too_many_connections"
    assert (answer.headers["retry-after"], answer.headers["connection"]) == ("7", "close")
    assert wire.closed()
    assert [wire.ask(request("/models")).status for wire in seated] == [200, 200]


def test_a_crowd_before_a_full_house_is_not_let_in(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http.connections.CROWD", 1)
    live = edge(max_connections=1)
    for _ in range(2):
        assert live.wire().ask(request()).status == 200
    with suppress(ConnectionError):
        live.wire().send(request())
    assert live.wires[-1].closed()


def test_pipelined_requests_are_answered_in_order(edge: Edge) -> None:
    wire = edge(head_seconds=LATE).wire()
    wire.send(request("/livez") + request("/nope") + request("/readyz"))
    assert [wire.answer().status for _ in range(3)] == [200, 404, 200]


@pytest.mark.parametrize(
    ("verb", "target", "status"),
    [("OPTIONS", "*", 404), ("CONNECT", "test:80", 404), ("TRACE", "/", 405), ("GET", "//livez", 404)],
)
def test_odd_requests_are_problems(edge: Edge, verb: str, target: str, status: int) -> None:
    answer = edge().ask(request(target, verb, "Upgrade: websocket", "Connection: upgrade"))
    assert (answer.status, answer.problem()["status"]) == (status, status)
