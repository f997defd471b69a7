"""Small answers are written while large ones hold every thread that is theirs, and the other way round."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.http.encoders import SMALL_BYTES, Encoders
from service.settings import LimitSettings, Settings

SMALL, LARGE = SMALL_BYTES - 1, SMALL_BYTES
PATIENCE = 60


class Work:
    """Work that lasts until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    def __call__(self) -> str:
        self.begun.release()
        assert self.go.wait(PATIENCE)
        return "done"


@pytest.mark.parametrize(("held", "other"), [(LARGE, SMALL), (SMALL, LARGE)])
@pytest.mark.parametrize("threads", [1, 2])
def test_neither_kind_waits_for_the_other(threads: int, held: int, other: int) -> None:
    async def run() -> tuple[list[str], str]:
        encoders, work = Encoders(threads), Work()
        waiting = [asyncio.ensure_future(encoders.run(held, work)) for _ in range(threads + 1)]
        for _ in range(threads):
            assert await asyncio.to_thread(work.begun.acquire, timeout=PATIENCE)
        at_once = await asyncio.wait_for(encoders.run(other, str, "at once"), PATIENCE)
        assert not work.begun.acquire(blocking=False), "no more of a kind at a time than it has threads"
        work.go.set()
        return await asyncio.gather(*waiting), at_once

    assert asyncio.run(run()) == (["done"] * (threads + 1), "at once")


def test_a_request_for_one_is_answered_while_large_sheets_are_written(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = serve(settings=Settings(limits=LimitSettings(encoder_threads=1)))
    work, run_them = Work(), Encoders.run

    async def slow_if_large(encoders: Encoders, size: int, encode: Any, *given: Any) -> Any:
        def held() -> Any:
            work()
            return encode(*given)

        return await (
            run_them(encoders, size, held) if size >= SMALL_BYTES else run_them(encoders, size, encode, *given)
        )

    monkeypatch.setattr(Encoders, "run", slow_if_large)

    async def ask() -> tuple[httpx.Response, list[httpx.Response]]:
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:
            sheets = [asyncio.ensure_future(client.post("/sample?n=400")) for _ in range(2)]
            assert await asyncio.to_thread(work.begun.acquire, timeout=PATIENCE)
            one = await asyncio.wait_for(client.post("/sample?n=1"), PATIENCE)
            body = await asyncio.wait_for(client.post("/score", json={"latents": [[0.0] * 16]}), PATIENCE)
            assert not any(sheet.done() for sheet in sheets)
            work.go.set()
            return one, [body, *await asyncio.gather(*sheets)]

    one, others = asyncio.run(ask())
    assert {one.status_code, *(other.status_code for other in others)} == {200}
