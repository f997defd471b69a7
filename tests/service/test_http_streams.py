"""An answer that streams: bounded, ended by a client that leaves, and never silently short."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import Request
from listening import listening
from starlette.responses import Response
from starlette.types import Message
from test_http_problems import problem

from service.engine.encoders.formats import FORMATS
from service.engine.encoders.lines import LinesWriter
from service.engine.encoders.npy import NpyWriter
from service.engine.encoders.zip_images import ZipWriter
from service.engine.errors import Stalled
from service.engine.portions import Facts, Portion, Summary
from service.http.answers import answer_stream

WRITERS = {"zip": ZipWriter, "npy": NpyWriter, "ndjson": LinesWriter}
ROWS = np.zeros((4, 8, 8, 1), np.uint8)
PORTION = Portion(np.zeros((4, 2), np.float32), None, ROWS)


class Source:
    """Portions of four rows each; what was taken and whether it was closed."""

    def __init__(self, *items: Portion | Summary | Exception) -> None:
        self.items, self.taken, self.closed = items, 0, False
        self.opened: list[AsyncGenerator[Portion | Summary, None]] = []

    def open(self) -> AsyncGenerator[Portion | Summary, None]:
        """Kept here, so that no garbage collector closes it in place of the answer."""
        self.opened.append(self.portions())
        return self.opened[-1]

    async def portions(self) -> AsyncGenerator[Portion | Summary, None]:
        try:
            for item in self.items:
                if isinstance(item, Exception):
                    raise item
                self.taken += isinstance(item, Portion)
                yield item
        finally:
            self.closed = True


def route(api: Any, source: Source, n: int, fmt: str = "npy") -> None:
    """GET /stream answers with ``source``, of which ``n`` rows are said to come."""

    async def stream(request: Request) -> Response:
        facts = Facts("images", "f", n, (8, 8, 1), "prior")
        return await answer_stream(request, facts, source.open(), FORMATS[fmt], {"Cache-Control": "no-store"})

    api.app.add_api_route("/stream", stream, response_model=None)


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [vars(record)["outcome"] for record in caplog.records if record.getMessage() == "request"]


def test_a_stream_says_what_is_known_before_its_rows(api: Any) -> None:
    source = Source(PORTION, PORTION, Summary(9, 0.9, {"decode": 0.5}))
    route(api, source, 8)
    answer = api.get("/stream")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-npy")
    headers = {"sample-count": "8", "sample-model": "images", "sample-fingerprint": "f", "cache-control": "no-store"}
    assert headers.items() <= dict(answer.headers).items()
    assert source.closed


@pytest.mark.parametrize("fmt", WRITERS)
@pytest.mark.parametrize(
    ("items", "n"),
    [
        ((PORTION, RuntimeError("engine gone")), 8),
        ((PORTION, Stalled("too few")), 8),
        ((PORTION,), 8),
        ((PORTION, Summary(9, 0.9)), 8),
        ((PORTION, PORTION), 8),
        ((PORTION, PORTION, Summary(9, 0.9)), 6),
    ],
    ids=["it raises", "the engine refuses", "too few rows, no end", "too few rows", "no end", "too many rows"],
)
def test_rows_that_fail_on_the_way_never_look_whole(
    api: Any, caplog: pytest.LogCaptureFixture, items: tuple[Any, ...], n: int, fmt: str
) -> None:
    source = Source(*items)
    route(api, source, n, fmt)
    with (
        caplog.at_level("INFO", logger="winnow.access"),
        listening(api.app) as url,
        pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"),
    ):
        httpx.get(f"{url}/stream")
    assert outcomes(caplog) == ["failed"]
    assert source.closed


@pytest.mark.parametrize("fmt", WRITERS)
def test_an_encoder_that_fails_on_the_way_breaks_the_connection_and_is_counted(
    api: Any, monkeypatch: pytest.MonkeyPatch, fmt: str
) -> None:
    add, calls = WRITERS[fmt].add, iter(range(100))

    def fail_at_the_second(writer: Any, portion: Portion) -> bytes:
        if next(calls):
            raise MemoryError
        return add(writer, portion)

    monkeypatch.setattr(WRITERS[fmt], "add", fail_at_the_second)
    with listening(api.app) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{url}/sample?n=700&images=true&format={fmt}", timeout=60)
        assert httpx.post(f"{url}/sample").status_code == 200
    assert api.metric("winnow_requests_total", method="latentrs", outcome="failed") == 1
    assert api.metric("winnow_requests_total", method="latentrs", outcome="ok") == 1


@pytest.mark.parametrize("fmt", WRITERS)
def test_what_fails_before_the_first_row_is_a_problem_with_a_status(api: Any, fmt: str) -> None:
    route(api, Source(Stalled("Too few pass; method=prior would do.")), 8, fmt)
    assert problem(api.get("/stream"))["code"] == "rejection_stalled"


async def call(app: Any, receive: Any, send: Any) -> None:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/stream",
        "raw_path": b"/stream", "query_string": b"", "headers": [], "scheme": "http", "server": ("test", 80),
        "client": ("test", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)


class Client:
    """Reads ``reads`` messages, then nothing; hangs up once it has those, where ``leaves``."""

    def __init__(self, source: Source, reads: int, leaves: bool) -> None:
        self.source, self.reads, self.leaves = source, reads, leaves
        self.ahead: list[int] = []
        self.full = asyncio.Event()

    async def receive(self) -> Message:
        await self.full.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.ahead.append(self.source.taken - len(self.ahead))
        if self.leaves and len(self.ahead) == self.reads:
            self.full.set()
            await asyncio.Event().wait()


def test_no_portion_is_taken_before_the_one_before_it_is_sent(api: Any) -> None:
    source = Source(*[PORTION] * 50, Summary(1, 1.0))
    route(api, source, 200)

    async def run() -> Client:
        client = Client(source, 0, leaves=False)
        await call(api.app, client.receive, client.send)
        return client

    client = asyncio.run(run())
    assert len(client.ahead) == 51
    assert max(client.ahead) == 1


@pytest.mark.parametrize("reads", [1, 2, 20])
def test_a_client_that_hangs_up_ends_the_stream(api: Any, caplog: pytest.LogCaptureFixture, reads: int) -> None:
    source = Source(*[PORTION] * 50, Summary(1, 1.0))
    route(api, source, 200)

    async def run() -> bool:
        client = Client(source, reads, leaves=True)
        await call(api.app, client.receive, client.send)
        return source.closed  # now, not when the loop ends

    with caplog.at_level("INFO", logger="winnow.access"):
        assert asyncio.run(run())
    assert source.taken <= reads
    assert outcomes(caplog) == ["cancelled"]


def test_a_client_that_hangs_up_before_the_first_row_ends_the_work(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    closed: list[bool] = []
    started = asyncio.Event()

    async def portions() -> AsyncGenerator[Portion | Summary, None]:
        try:
            started.set()
            await asyncio.Event().wait()
            yield PORTION
        finally:
            closed.append(True)

    source = Source()
    source.portions = portions  # type: ignore[method-assign]
    route(api, source, 4)
    statuses: list[int] = []

    async def receive() -> Message:
        await started.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 0))

    with caplog.at_level("INFO", logger="winnow.access"):
        asyncio.run(call(api.app, receive, send))
    assert (statuses[0], closed, outcomes(caplog)) == (499, [True], ["cancelled"])


def test_encoding_never_runs_on_the_event_loop(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()
    for name in ("add", "finish"):
        method = getattr(ZipWriter, name)

        def noted(writer: Any, item: Any, method: Any = method) -> bytes:
            threads.add(threading.current_thread().name)
            return bytes(method(writer, item))

        monkeypatch.setattr(ZipWriter, name, noted)
    assert api.post("/sample?n=700&format=zip").status_code == 200
    assert threads and all(name.startswith("winnow-encode") for name in threads)
    assert api.metric("winnow_stage_duration_seconds_count", stage="encode") == 1
