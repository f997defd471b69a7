"""The outermost layer, pure ASGI: request id, timing, last resort for errors, access line, count in flight."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import ProblemError, problem_response
from service.http.records import RequestRecord, new_record
from service.metrics.registry import NO_METHOD, Metrics

logger = logging.getLogger("winnow.access")
SAMPLE_PATH = "/sample"


class InFlight:
    """How many requests are being answered; ``idle`` waits for none. Only the event loop touches it."""

    def __init__(self) -> None:
        self.count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        self.count += 1
        self._idle.clear()

    def leave(self) -> None:
        self.count -= 1
        if self.count == 0:
            self._idle.set()

    async def idle(self) -> None:
        await self._idle.wait()


class AccessLayer:
    """Every answer carries X-Request-ID and Server-Timing, every failure is a problem, every request one line."""

    def __init__(self, app: ASGIApp, metrics: Metrics, in_flight: InFlight) -> None:
        self._app, self._metrics, self._in_flight = app, metrics, in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope["winnow"] = new_record(scope)
        answer = _Answer(record, send)
        self._in_flight.enter()
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:  # while the body was read
            record.outcome = record.outcome or "cancelled"
        except Exception:
            logger.exception("request failed", extra={"request_id": record.request_id})
            record.outcome = "failed"
            if answer.status is None:
                error = ProblemError("internal", "Something went wrong here; the log has it under the request id.")
                await problem_response(error, scope["path"], record.request_id)(scope, receive, answer.send)
        finally:
            self._in_flight.leave()
            self._note(scope, record, answer)

    def _note(self, scope: Scope, record: RequestRecord, answer: _Answer) -> None:
        seconds = perf_counter() - record.started
        if scope["path"] == SAMPLE_PATH and scope["method"] in ("GET", "POST"):
            outcome = record.outcome or _outcome(answer.status)
            self._metrics.requests.labels(record.method or NO_METHOD, outcome).inc()
            self._metrics.request_seconds.labels(record.method or NO_METHOD).observe(seconds)
        fields = {
            "request_id": record.request_id,
            "verb": scope["method"],
            "path": scope["path"],
            "status": answer.status,
            "outcome": record.outcome or _outcome(answer.status),
            "ms": round(1e3 * seconds, 2),
            "bytes": answer.size,
            **{name: value for name in ("key", "model", "method", "n") if (value := getattr(record, name)) is not None},
            **{f"{stage}_ms": round(1e3 * spent, 2) for stage, spent in record.stages.items()},
        }
        logger.info("request", extra=fields)


class _Answer:
    """Watches what is sent and adds the three headers."""

    def __init__(self, record: RequestRecord, send: Send) -> None:
        self._record, self._send = record, send
        self.status: int | None = None
        self.size = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._record.request_id
            headers["Server-Timing"] = self._record.server_timing()
            headers["X-Content-Type-Options"] = "nosniff"
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
        await self._send(message)


def _outcome(status: int | None) -> str:
    if status is None:
        return "cancelled"
    if status == 304:
        return "not_modified"
    if status == 429:
        return "limited"
    if status == 503:
        return "refused"
    return "ok" if status < 400 else "invalid" if status < 500 else "failed"
