"""Bodies that are read take memory, all of them together, and none of it stays taken."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from gates import Gate
from test_http_latents import npy, some
from test_http_problems import problem

from service.http.bodies import FREE_BYTES

NPY = {"Content-Type": "application/x-npy"}
MANY = npy(some(2_000))["content"]  # 128 kB
FEW = npy(some(10))["content"]
Serve = Callable[..., Any]


def taken(api: Any) -> int:
    gc.collect()
    count: int = api.engine._queue.memory.taken
    return count


@pytest.fixture
def api(serve: Serve) -> Any:
    """Memory for one such body, not for two."""
    assert len(MANY) > FREE_BYTES
    return serve(result_bytes=2 * len(MANY) - 1)


def test_a_body_that_finds_no_memory_is_refused_with_a_time_and_a_small_one_is_read(api: Any) -> None:
    lease = api.engine.lease()
    lease.take(len(MANY))
    answer = api.post("/score", content=MANY, headers=NPY)
    assert problem(answer)["code"] == "overloaded"
    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
    assert int(answer.headers["retry-after"]) >= 1
    assert api.post("/score", content=FEW, headers=NPY).status_code == 200
    lease.release()
    assert api.post("/score", content=MANY, headers=NPY).status_code == 200
    assert taken(api) == 0


def ask_two(api: Any, first_length: dict[str, str]) -> tuple[httpx.Response, httpx.Response]:
    """One body that comes slowly, and the answer to another that is sent meanwhile."""

    async def run() -> tuple[httpx.Response, httpx.Response]:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield MANY[:100]
            begun.set()
            await go_on.wait()
            yield MANY[100:]

        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:
            headers = {**NPY, **first_length}
            first = asyncio.ensure_future(client.post("/score", content=slowly(), headers=headers))
            await begun.wait()
            second = await client.post("/score", content=MANY, headers=NPY)
            go_on.set()
            return await first, second

    return asyncio.run(run())


@pytest.mark.parametrize("length", [{"Content-Length": str(len(MANY))}, {}], ids=["declared", "not declared"])
def test_a_body_takes_memory_from_before_its_first_byte_until_it_is_parsed(api: Any, length: dict[str, str]) -> None:
    first, second = ask_two(api, length)
    assert first.status_code == 200
    assert "to read a body" in problem(second)["detail"]
    assert api.post("/score", content=MANY, headers=NPY).status_code == 200
    assert taken(api) == 0


def test_the_latents_of_a_request_that_waits_take_memory(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(api.engine.model("images").importance, monkeypatch)

    async def run() -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:
            first = asyncio.ensure_future(client.post("/score", content=MANY, headers=NPY))
            await asyncio.to_thread(gate.wait)
            second = await client.post("/score", content=MANY, headers=NPY)
            gate.let(10_000)
            return await first, second

    first, second = asyncio.run(run())
    assert first.status_code == 200
    assert "to read a body" in problem(second)["detail"]
    assert taken(api) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * len(MANY), 400),
        (npy(some(4_000, 8))["content"], 422),
        (npy(np.full((2_000, 16), np.nan, np.float32))["content"], 422),
    ],
)
def test_a_body_that_is_refused_gives_its_memory_back(api: Any, body: bytes, status: int) -> None:
    assert api.post("/score", content=body, headers=NPY).status_code == status
    assert taken(api) == 0


def test_a_client_that_leaves_while_it_sends_gives_its_memory_back(api: Any) -> None:
    async def leave() -> None:
        messages = iter([{"type": "http.request", "body": MANY[:100], "more_body": True}, {"type": "http.disconnect"}])

        async def receive() -> Any:
            message = next(messages)
            if message["type"] == "http.disconnect":
                assert api.engine._queue.memory.taken == len(MANY)
            return message

        async def send(_: Any) -> None:
            raise AssertionError("nobody is there")

        headers = [(b"content-type", b"application/x-npy"), (b"content-length", str(len(MANY)).encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/score",
            "raw_path": b"/score", "query_string": b"", "headers": headers, "scheme": "http",
            "server": ("test", 80), "client": ("test", 1), "root_path": "",
        }  # fmt: skip
        await api.app(scope, receive, send)

    asyncio.run(leave())
    assert taken(api) == 0
