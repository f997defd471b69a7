"""Waiting for the engine, but no longer than the client does."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any, TypeVar

from starlette.requests import Request

# Nobody reads it: the client has hung up. The access line shows it (nginx's number).
CLIENT_CLOSED_REQUEST = 499
Result = TypeVar("Result")


async def result_or_hangup(request: Request, future: Future[Result]) -> Result | None:
    """The result, or None when the client hung up first: then the work stops at the next batch.

    The request's body must have been read.
    """
    result = asyncio.wrap_future(future)
    hangup = asyncio.ensure_future(_hangup(request))
    either: set[asyncio.Future[Any]] = {result, hangup}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return await result if result.done() else None
    finally:
        hangup.cancel()
        result.cancel()


async def _hangup(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
