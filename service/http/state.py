"""What the routes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from fastapi import Request

from service.engine.encoders.limits import Limits
from service.engine.engine import Engine
from service.http.access import InFlight
from service.http.encoders import Encoders
from service.http.gate import Gate
from service.settings import Settings


class Grace:
    """How long a shutdown waits for what was admitted."""

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self._began: float | None = None

    def begin(self) -> None:
        self._began = self._clock()

    @property
    def began(self) -> bool:
        """Whether the shutdown is on its way."""
        return self._began is not None

    def left(self) -> float:
        """Seconds of it; all of them before it begins."""
        return self.seconds if self._began is None else max(0.0, self._began + self.seconds - self._clock())


@dataclass(frozen=True)
class Service:
    """The composition root's product; one an application."""

    engine: Engine
    settings: Settings
    encoders: Encoders
    gate: Gate
    grace: Grace
    in_flight: InFlight = field(default_factory=InFlight)

    @property
    def limits(self) -> Limits:
        given = self.settings.limits
        return Limits(given.sheet_rows, given.sheet_bytes, given.npz_bytes, given.json_bytes)


def service_of(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
