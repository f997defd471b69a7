"""One connection: what uvicorn's HTTP/1.1 leaves open. Bounded heads, an end to every wait, refusals that are problems.

uvicorn has settings for idle keep-alive and for incomplete heads alone; the rest is here, around its protocol for h11.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from functools import partial
from typing import Any
from uuid import uuid4

import h11
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from service.engine.admission import retry_after
from service.http.gate import CROWDED
from service.http.problems import ProblemError, problem_response
from service.http.records import RequestRecord
from service.http.state import Grace
from service.settings import HttpSettings, LimitSettings, Settings

logger = logging.getLogger("winnow.access")
# Connections beyond the limit that still hear why not, and get an answer to a probe; beyond those there is no word.
CROWD = 100
CROWD_HEAD_SECONDS = 1.0
# Of a head: method, version and line ends, beside its target and its fields.
HEAD_SLACK = 256
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
CODES_BY_HINT = {400: "malformed", 414: "target_too_long", 431: "headers_too_large", 501: "not_implemented"}


def uvicorn_config(app: ASGIApp, settings: Settings, grace: Grace) -> uvicorn.Config:
    """uvicorn around ``app``: our protocol, our logs, our signals."""
    protocol: Any = partial(EdgeProtocol, http=settings.http, limits=settings.limits, grace=grace)
    return uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        proxy_headers=False, timeout_keep_alive=settings.http.keep_alive_seconds, timeout_graceful_shutdown=1,
    )  # fmt: skip


class BoundedConnection(h11.Connection):
    """h11, which refuses heads that came whole but are too large, too, and remembers why it refused."""

    def __init__(self, limits: LimitSettings) -> None:
        super().__init__(h11.SERVER, limits.target_bytes + limits.header_bytes + HEAD_SLACK)
        self._limits = limits
        self.fault: h11.RemoteProtocolError | None = None
        self.bodiless = False  # the answer to HEAD

    def next_event(self) -> Any:
        """Raises RemoteProtocolError, which is ``fault`` from then on."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            endless = error.error_status_hint == 431 and b"\n" not in self.trailing_data[0]
            self.fault = _target_too_long(self._limits) if endless else error
            raise
        if isinstance(event, h11.Request):
            self.bodiless = event.method == b"HEAD"
            if (fault := self._fault_of(event)) is not None:
                self.fault = fault
                raise fault
        return event

    def _fault_of(self, request: h11.Request) -> h11.RemoteProtocolError | None:
        limits, headers = self._limits, list(request.headers)
        if len(request.target) > limits.target_bytes:
            return _target_too_long(limits)
        if len(headers) > limits.header_count or sum(len(a) + len(b) + 4 for a, b in headers) > limits.header_bytes:
            return h11.RemoteProtocolError(
                f"at most {limits.header_count} header fields of {limits.header_bytes} bytes in all", 431
            )
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
            # Whoever stands before us may have believed the other one (request smuggling).
            return h11.RemoteProtocolError("Content-Length and Transfer-Encoding exclude each other")
        return None


def _target_too_long(limits: LimitSettings) -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError(f"path and query have at most {limits.target_bytes} bytes", 414)


class EdgeProtocol(H11Protocol):
    """uvicorn's protocol with an end to every wait; HttpSettings has the times."""

    def __init__(
        self, *arguments: Any, http: HttpSettings, limits: LimitSettings, grace: Grace, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._grace = grace
        self._connection = BoundedConnection(limits)
        self.conn = self._connection
        self._http = http
        self._seconds = {"head": http.head_seconds, "body": http.body_seconds}
        self._awaited: tuple[str, object] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._last_patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        beyond = len(self.connections) - self._http.max_connections
        if beyond > CROWD:
            transport.abort()
        elif beyond > 0:
            self.app_state = {**self.app_state, CROWDED: True}
            self._seconds["head"] = CROWD_HEAD_SECONDS
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.refuse_late_body()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._cut_off_later()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._trust_reader()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cut_off_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._trust_reader()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._cut_off_later()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's name for: h11 could not read this."""
        fault = self._connection.fault
        code = CODES_BY_HINT.get(fault.error_status_hint if fault else 400, "malformed")
        self._refuse(ProblemError(code, f"The request cannot be read: {fault or msg}."))

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as any other; no word in the log for it."""

    def _watch(self) -> None:
        """Start, keep or stop the clock of what this connection owes us. uvicorn's own runs while it owes nothing."""
        state = self.conn.their_state
        awaited: tuple[str, object] | None = None
        if state is h11.SEND_BODY:
            awaited = ("body", self.cycle)
        elif state is h11.IDLE and self.timeout_keep_alive_task is None:
            awaited = ("head", self.cycle)
        if awaited != self._awaited:
            self._expect(awaited)

    def _expect(self, awaited: tuple[str, object] | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._awaited, self._patience = awaited, None
        if awaited is not None:
            self._patience = self.loop.call_later(self._seconds[awaited[0]], self._too_slow, awaited[0])

    def _too_slow(self, part: str) -> None:
        if self.transport.is_closing():
            return
        if part == "head" and not self.conn.trailing_data[0]:
            self.transport.close()  # not one byte came: nobody waits for an answer
            return
        self._refuse(ProblemError("too_slow", f"The request's {part} was not here within {self._seconds[part]:g} s."))

    def _refuse(self, error: ProblemError) -> None:
        """Answer instead of the application, where no answer has begun, and close."""
        record = self._record_in_flight()
        request_id = record.request_id if record else uuid4().hex
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = problem_response(error, request_id)
            if record is None:  # what never became a request; AccessLayer writes the lines of all others
                said = {"request_id": request_id, "status": answer.status_code, "outcome": "invalid"}
                logger.info("request", extra={**said, "code": error.code})
            self._write_last(answer, request_id)
        if record is not None:
            record.outcome, record.code = "invalid", error.code
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
        self._cut_off_later()

    def refuse_late_body(self) -> None:
        """While the server shuts down: a request whose body is not here yet was not admitted, and will not be."""
        if self._grace.began and self.conn.their_state is h11.SEND_BODY:
            headers = {"Retry-After": str(retry_after(self._grace.left()))}
            self._refuse(ProblemError("draining", "The server is shutting down and takes no new work.", [], headers))

    @property
    def unsent(self) -> int:
        """Bytes of answers that the kernel has not taken yet."""
        return self.transport.get_write_buffer_size()

    def _write_last(self, answer: Response, request_id: str) -> None:
        own = {"connection": "close", "x-request-id": request_id, "x-content-type-options": "nosniff"}
        headers = [*self.server_state.default_headers, *answer.raw_headers]
        headers += [(name.encode(), value.encode()) for name, value in own.items()]
        status = answer.status_code
        events: list[Any] = [h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])]
        if not self._connection.bodiless:
            events.append(h11.Data(data=bytes(answer.body)))
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in [*events, h11.EndOfMessage()]))

    def _record_in_flight(self) -> RequestRecord | None:
        """The application's record of the request that is being answered."""
        if self.cycle is None or self.cycle.response_complete:
            return None
        record = self.cycle.scope.get("winnow")
        return record if isinstance(record, RequestRecord) else None

    def _cut_off_later(self, before: int | None = None) -> None:
        """A reader that takes nothing (of what was ``before``) for stall_seconds keeps neither memory nor its place."""
        left = self.transport.get_write_buffer_size()
        if before is not None and left >= before:
            # At once: the kernel, too, would go on keeping what it was given to send.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.transport.abort()
            return
        self._trust_reader()
        self._last_patience = self.loop.call_later(self._http.stall_seconds, self._cut_off_later, left)

    def _trust_reader(self) -> None:
        if self._last_patience is not None:
            self._last_patience.cancel()
            self._last_patience = None
