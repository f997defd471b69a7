"""What the routes share."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import Request

from service.engine.encoders.limits import Limits
from service.engine.engine import Engine
from service.engine.memory import ResultMemory
from service.http.access import InFlight
from service.http.encoders import Encoders
from service.http.gate import Gate
from service.settings import Settings


@dataclass(frozen=True)
class Service:
    """The composition root's product; one an application."""

    engine: Engine
    settings: Settings
    encoders: Encoders
    gate: Gate
    in_flight: InFlight = field(default_factory=InFlight)

    @property
    def limits(self) -> Limits:
        given = self.settings.limits
        return Limits(given.sheet_rows, given.sheet_bytes, given.npz_bytes, given.json_bytes)

    @property
    def memory(self) -> ResultMemory:
        """That of answers held whole, which bodies share. Nobody but the event loop takes of it."""
        return self.engine._queue.memory


def service_of(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
