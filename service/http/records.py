"""What is known about one HTTP request, from its first byte to its access line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from time import perf_counter
from uuid import uuid4

from starlette.types import Scope

# Printable, short, nothing that could break a log line or a header.
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# W3C Trace Context: version, trace id, parent id, flags. Ids of zeros alone and version ff are not valid.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


@dataclass
class RequestRecord:
    """Filled in by the handler; read by the access line, the metrics and the headers."""

    request_id: str
    key: str | None = None
    started: float = field(default_factory=perf_counter)
    method: str | None = None
    model: str | None = None
    n: int | None = None
    rows: int | None = None
    trace_id: str | None = None
    outcome: str | None = None
    code: str | None = None  # of the problem that answers it
    stages: dict[str, float] = field(default_factory=dict)

    def server_timing(self) -> str:
        """``queue;dur=0.1, ..., total;dur=12.3`` in milliseconds (W3C Server Timing)."""
        total = perf_counter() - self.started
        return ", ".join(
            f"{stage};dur={1e3 * seconds:.2f}" for stage, seconds in [*self.stages.items(), ("total", total)]
        )


def new_record(scope: Scope) -> RequestRecord:
    """A record with the caller's request id where that is sane, else a fresh one, and the trace that it is part of."""
    given, trace = _header(scope, b"x-request-id"), TRACEPARENT.fullmatch(_header(scope, b"traceparent"))
    request_id = given if SANE_REQUEST_ID.fullmatch(given) else uuid4().hex
    return RequestRecord(request_id, trace_id=trace and trace[1])


def record_of(scope: Scope) -> RequestRecord:
    record = scope["winnow"]
    assert isinstance(record, RequestRecord)
    return record


def _header(scope: Scope, wanted: bytes) -> str:
    """The first one of that name, or ""."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")
