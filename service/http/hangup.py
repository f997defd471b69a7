"""Waiting for work, but no longer than the client does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive

from service.engine.errors import DeadlineExceeded

# Nobody reads it: the client has hung up. The access line shows it (nginx's number).
CLIENT_CLOSED_REQUEST = 499
# So long after a deadline the device has had its say, unless it hangs.
BATCH_SECONDS = 1.0
Result = TypeVar("Result")


async def result_or_hangup(request: Request, future: Future[Result], patience: float | None) -> Result | None:
    """The engine's result, or None when the client hung up first: then the work stops at the next batch.

    The request's body must have been read. Raises what the future does, DeadlineExceeded well after ``patience`` s.
    """
    return await unless_hangup(request.receive, in_time(asyncio.wrap_future(future), patience))


async def in_time(work: Awaitable[Result], patience: float | None) -> Result:
    """What ``work`` comes to. A device says itself that a deadline has passed, at its next batch; it may never come to
    one. Raises DeadlineExceeded then; ``work`` is cancelled."""
    try:
        return await asyncio.wait_for(work, None if patience is None else patience + BATCH_SECONDS)
    except TimeoutError as error:
        raise DeadlineExceeded("The deadline passed while the device was at one batch.") from error


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
