"""Waiting for work, but no longer than the client does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive

# Nobody reads it: the client has hung up. The access line shows it (nginx's number).
CLIENT_CLOSED_REQUEST = 499
Result = TypeVar("Result")


async def result_or_hangup(request: Request, future: Future[Result]) -> Result | None:
    """The engine's result, or None when the client hung up first: then the work stops at the next batch.

    The request's body must have been read.
    """
    return await unless_hangup(request.receive, asyncio.wrap_future(future))


async def unless_hangup(receive: Receive, work: Awaitable[Result]) -> Result | None:
    """What ``work`` comes to, or None when the client hung up first: then it is cancelled, and has ended.

    The request's body must have been read.
    """
    result, hangup = asyncio.ensure_future(work), asyncio.ensure_future(_hangup(receive))
    either: set[asyncio.Future[Any]] = {result, hangup}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return await result if result.done() else None
    finally:
        hangup.cancel()
        if result.cancel():
            await asyncio.wait({result})


async def _hangup(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
