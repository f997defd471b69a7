"""Rows as an answer: encoded by bounded threads, with the headers that all of them carry."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.engine.encoders.formats import Format
from service.engine.encoders.writer import Writer
from service.engine.memory import Lease
from service.engine.portions import Facts, Portion, Summary, cut, facts_of, summary_of
from service.engine.rows import Rows
from service.http.encoders import Encoders
from service.http.hangup import CLIENT_CLOSED_REQUEST, in_time, result_or_hangup, unless_hangup
from service.http.quotas import deliver_rows
from service.http.records import record_of
from service.http.state import service_of

# The rows of an answer in order, then one Summary; closing it ends the work.
Portions = AsyncGenerator[Portion | Summary, None]
Given = TypeVar("Given")
Result = TypeVar("Result")
Done = TypeVar("Done", bound=Rows)
# As long as a reader takes it at once: a copy of so much is little beside sending it.
PIECE_BYTES = 256 * 2**10


class IncompleteAnswer(RuntimeError):
    """The rows ended too early, or did not end: what was sent must not be taken for the whole."""


async def answer_result(
    request: Request, submit: Callable[[Lease], Future[Done]], fmt: Format,
    headers: Callable[[Done], Mapping[str, str]], patience: float | None,
) -> Response:  # fmt: skip
    """What the engine makes of the work that ``submit`` admits, held whole, in ``fmt``."""
    lease = service_of(request).engine.lease()
    try:
        rows = await result_or_hangup(request, submit(lease), patience)
        answer = _hung_up(request) if rows is None else await _answer_rows(request, rows, fmt, headers(rows), lease)
    except BaseException:
        lease.release()
        raise
    if answer.status_code == CLIENT_CLOSED_REQUEST:
        lease.release()
    return answer


def _hung_up(request: Request) -> Response:
    record_of(request.scope).outcome = "cancelled"
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _answer_rows(request: Request, rows: Rows, fmt: Format, headers: Mapping[str, str], lease: Lease) -> Response:
    """``rows`` that lie ready, in ``fmt``; the request's record learns what each stage took.

    ``lease``: of their memory; it ends when the last byte is on its way.
    """
    facts = facts_of(rows)
    if fmt.encode is None:
        return await answer_stream(request, facts, _in_portions(rows, lease), fmt, headers)
    pool = EncoderPool(service_of(request).encoders)
    body = await pool.run(_size(rows), fmt.encode, rows)
    _note(request, pool, rows.stages, rows.n)
    return WholeAnswer(body, {**_told(facts), **headers}, fmt.media_type, lease)


async def answer_stream(
    request: Request, facts: Facts, portions: Portions, fmt: Format, headers: Mapping[str, str],
    patience: float | None = None,
) -> Response:  # fmt: skip
    """``portions`` as they come, in a streaming ``fmt``; at most one portion is held, in rows and as bytes.

    The first portion is awaited here: what fails before it is still a problem with a status of its own.
    """
    assert fmt.writer is not None
    body = _encoded(request, fmt.writer(facts), facts.n, portions)
    first = await unless_hangup(request.receive, in_time(anext(body), patience))
    if first is None:
        return _hung_up(request)
    length = {} if fmt.length is None else {"Content-Length": str(fmt.length(facts))}
    return StreamedAnswer(first, body, {**_told(facts), **headers, **length}, fmt.media_type)


class WholeAnswer(Response):
    """A body that lies ready, in pieces: a reader that is slow is waited for here, and not with all of it in uvicorn's
    buffer, where nobody knows of it."""

    def __init__(self, body: bytes, headers: Mapping[str, str], media_type: str, lease: Lease) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._lease = lease

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            rest = memoryview(self.body)
            while len(rest) > PIECE_BYTES:
                await send({"type": "http.response.body", "body": bytes(rest[:PIECE_BYTES]), "more_body": True})
                rest = rest[PIECE_BYTES:]
            await send({"type": "http.response.body", "body": bytes(rest), "more_body": False})
        finally:
            self._lease.release()


class StreamedAnswer(Response):
    """``first``, then ``rest``. A client that hangs up ends both; so does a failure, and the connection breaks.

    starlette's StreamingResponse does not say which of the two it was.
    """

    def __init__(
        self, first: bytes, rest: AsyncGenerator[bytes, None], headers: Mapping[str, str], media_type: str
    ) -> None:
        self._first, self._rest = first, rest
        self.status_code, self.media_type, self.background = 200, media_type, None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await unless_hangup(receive, self._send(send)) is None:
            record_of(scope).outcome = "cancelled"

    async def _send(self, send: Send) -> bool:
        """True at the end. What is raised before leaves the body without its end, which no client takes for whole."""
        async with aclosing(self._rest):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for chunk in self._rest:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True


@dataclass
class EncoderPool:
    """The threads as one answer uses them; ``seconds``: what its calls took there, waits not counted."""

    threads: Encoders
    seconds: float = field(default=0.0, init=False)

    async def run(self, size: int, encode: Callable[[Given], Result], given: Given) -> Result:
        """``encode(given)``, of ``size`` bytes, not on the event loop."""

        def timed() -> tuple[Result, float]:
            started = perf_counter()
            return encode(given), perf_counter() - started

        result, seconds = await self.threads.run(size, timed)
        self.seconds += seconds
        return result


async def _encoded(request: Request, writer: Writer, n: int, portions: Portions) -> AsyncGenerator[bytes, None]:
    """The body; raises IncompleteAnswer unless there were ``n`` rows and a summary.

    The last portion waits for the summary: before that nothing that left may look whole, whatever its length.
    """
    pool, done, summary = EncoderPool(service_of(request).encoders), 0, None
    waiting = writer.start()
    async with aclosing(portions):
        async for item in portions:
            if isinstance(item, Summary):
                summary = item
                break
            done += item.n
            waiting += await pool.run(_size(item), writer.add, item)
            if done < n:
                yield waiting
                deliver_rows(request, item.n)  # the next chunk is asked for once this one was sent
                waiting = b""
    if summary is None or done != n:
        raise IncompleteAnswer(f"the rows ended after {done} of {n}" + ("" if summary else ", without a summary"))
    end = await pool.run(0, writer.finish, summary)
    _note(request, pool, summary.stages, done)
    yield waiting + end


async def _in_portions(rows: Rows, lease: Lease) -> Portions:
    try:
        for portion in cut(rows):
            yield portion
        yield summary_of(rows)
    finally:
        lease.release()


def _size(rows: Rows | Portion) -> int:
    return rows.latents.nbytes + (0 if rows.rows is None else rows.rows.nbytes)


def _note(request: Request, pool: EncoderPool, stages: Mapping[str, float], rows: int) -> None:
    service_of(request).engine.metrics.stage_seconds.labels("encode").observe(pool.seconds)
    record = record_of(request.scope)
    record.stages, record.rows = {**stages, "encode": pool.seconds}, rows


def _told(facts: Facts) -> dict[str, str]:
    return {"Sample-Count": str(facts.n), "Sample-Model": facts.model, "Sample-Fingerprint": facts.fingerprint}
