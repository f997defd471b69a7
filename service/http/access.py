"""The outermost layer, pure ASGI: request id, timing, last resort for errors, access line, count in flight."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.hangup import CLIENT_CLOSED_REQUEST
from service.http.problems import ProblemError, answer_problem
from service.http.records import RequestRecord, new_record
from service.http.standing import REFUSALS
from service.metrics.registry import NO_METHOD, NO_ROUTE, OTHER_VERB, VERBS, Metrics
from service.tracing import trace_request

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

logger = logging.getLogger("winnow.access")
SAMPLE_PATH = "/sample"
# Asked every few seconds by machines; a trace of them tells nothing.
UNTRACED = ("/livez", "/readyz", "/startupz", "/metrics")


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

    def __init__(self, app: ASGIApp, metrics: Metrics, in_flight: InFlight, tracer: Tracer | None = None) -> None:
        self._app, self._metrics, self._in_flight, self._tracer = app, metrics, in_flight, tracer

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
                await answer_problem(error, scope)(scope, receive, answer.send)
        finally:
            self._in_flight.leave()
            self._note(scope, record, answer)

    def _note(self, scope: Scope, record: RequestRecord, answer: _Answer) -> None:
        seconds, outcome = perf_counter() - record.started, record.outcome or _outcome(answer.status)
        self._count(scope, record, answer, outcome, seconds)
        if self._tracer is not None and scope["path"] not in UNTRACED:
            record.trace_id = _trace(self._tracer, scope, record, answer, outcome)
        facts = ("code", "trace_id", "key", "model", "method", "n", "rows")
        fields = {
            "request_id": record.request_id,
            "verb": scope["method"],
            "path": scope["path"],
            "status": answer.status,
            "outcome": outcome,
            "ms": round(1e3 * seconds, 2),
            "bytes": answer.size,
            **{name: value for name in facts if (value := getattr(record, name)) is not None},
            **{f"{stage}_ms": round(1e3 * spent, 2) for stage, spent in record.stages.items()},
        }
        logger.info("request", extra=fields)

    def _count(self, scope: Scope, record: RequestRecord, answer: _Answer, outcome: str, seconds: float) -> None:
        metrics, verb = self._metrics, scope["method"]
        status = str(answer.status or CLIENT_CLOSED_REQUEST)
        if record.code in REFUSALS:
            metrics.refused.labels(record.code).inc()
        metrics.http_seconds.labels(verb if verb in VERBS else OTHER_VERB, route_of(scope), status).observe(seconds)
        if scope["path"] == SAMPLE_PATH and verb in ("GET", "POST"):
            method = record.method or NO_METHOD
            metrics.requests.labels(method, outcome).inc()
            metrics.request_seconds.labels(method).observe(seconds)
            if answer.first_byte is not None:
                metrics.first_byte_seconds.labels(method).observe(answer.first_byte - record.started)


def route_of(scope: Scope) -> str:
    """The template of the path, never the path itself: a metric's labels must be few."""
    path = getattr(scope.get("route"), "path", None)
    if path is None and "router" not in scope:  # answered before any route was looked for
        path = scope["app"].state.paths.template(scope["path"])
    return path if isinstance(path, str) else NO_ROUTE


def _trace(tracer: Tracer, scope: Scope, record: RequestRecord, answer: _Answer, outcome: str) -> str:
    attributes: dict[str, str | int] = {
        "http.request.method": scope["method"],
        "http.route": route_of(scope),
        "http.response.status_code": answer.status or CLIENT_CLOSED_REQUEST,
        "winnow.request_id": record.request_id,
        "winnow.outcome": outcome,
        **{
            f"winnow.{name}": value for name in ("model", "method", "n") if (value := getattr(record, name)) is not None
        },
    }
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    name = f"{scope['method']} {route_of(scope)}"
    return trace_request(tracer, name, headers, record.started, record.stages, attributes, outcome == "failed")


class _Answer:
    """Watches what is sent and adds the three headers."""

    def __init__(self, record: RequestRecord, send: Send) -> None:
        self._record, self._send = record, send
        self.status: int | None = None
        self.first_byte: float | None = None
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
            if self.size and self.first_byte is None:
                self.first_byte = perf_counter()
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
