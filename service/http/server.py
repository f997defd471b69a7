"""The process: bind, load, listen; on SIGTERM finish what was admitted and exit 0."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from service.engine.engine import Engine
from service.engine.options import EngineOptions
from service.http.app import create_app
from service.http.connections import EdgeProtocol, uvicorn_config
from service.http.gate import Gate
from service.http.state import Service
from service.metrics.registry import Metrics
from service.settings import Settings, parse_bind
from service.tracing import tracer

logger = logging.getLogger("winnow.server")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# After the grace period: what is left is cut off, the device gets this long to end its batch.
LAST_SECONDS = 5


class BindError(OSError):
    """The address cannot be listened on; the message says what to do."""


def serve(settings: Settings) -> int:
    """Serve until a signal; the exit code. Raises BindError, KeysRefused, CatalogError before anything is served."""
    for number in SIGNALS:
        # Before the first request nothing was admitted, so nothing is to be finished.
        signal.signal(number, lambda *_: _exit_now())
    # Its last spans go out at the end of the process.
    traces = tracer(settings.tracing)
    gate = Gate(settings)
    listener = bind(settings.http.bind)
    try:
        engine = build_engine(settings, Metrics())
        engine.start()
    except BaseException:
        listener.close()
        raise
    server = DrainingServer(create_app(engine, settings, gate, traces), settings)
    spare_the_collector()
    server.run(sockets=[listener])
    if not engine.close(LAST_SECONDS):
        logger.error("a batch did not end in time", extra={"seconds": LAST_SECONDS})
        _exit_now()
    logger.info("stopped")
    return 0


def spare_the_collector() -> None:
    """What is there now stays: 220,000 objects of torch and of ours that a full collection would walk through again and
    again, a tenth of a second each time, while nobody is answered."""
    gc.collect()
    gc.freeze()


def _exit_now() -> NoReturn:
    """Exit 0 although the device thread is inside torch: Python's own way would abort the process there (134)."""
    logging.shutdown()
    os._exit(0)


def build_engine(settings: Settings, metrics: Metrics) -> Engine:
    """An engine, not started, as the settings want it."""
    most = settings.limits.max_proposals_per_sample
    options = EngineOptions(
        **settings.engine.model_dump(),
        devices=settings.devices,
        max_proposals_per_sample=most,
        allow_rejected_weights=settings.allow_rejected_weights,
    )
    return Engine(settings.bundles, settings.default_model, options, metrics)


def bind(address: str) -> socket.socket:
    """A listening socket, before the slow loading: a taken port is known at once. Raises BindError."""
    host, port = parse_bind(address)
    try:
        family, kind, protocol, _, resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BindError(f"cannot listen on {address}: {error.strerror}; set --bind or WINNOW_HTTP__BIND") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(resolved)
        listener.listen()
    except OSError as error:
        listener.close()
        raise BindError(
            f"cannot listen on {address}: {error.strerror}; stop what does, or set --bind or WINNOW_HTTP__BIND"
        ) from error
    return listener


def is_loopback(host: str) -> bool:
    return ip_address(host.partition("%")[0]).is_loopback


class DrainingServer(uvicorn.Server):
    """uvicorn, but a signal first drains: uvicorn's own way closes the listener at once and exits 143."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        service = app.state.service
        assert isinstance(service, Service)
        super().__init__(uvicorn_config(app, settings, service.grace))
        self._service = service
        self._drain: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """From here to the end of the process; asyncio's own handlers would leave gaps in which SIGTERM kills."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._on_signal))
        if self._service.gate.guarded:  # else a terminal that closes ends the server, as it ends any other command
            signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self._service.gate.reread))
        try:
            yield
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        catalog = self._service.engine.catalog
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        if not (self._service.gate.guarded or is_loopback(host)):
            logger.warning("everybody who reaches this address may use it; auth.keys_file would ask for API keys")
        logger.info("listening", extra={"url": url, "default_model": catalog.default, "models": list(catalog.models)})

    def _on_signal(self) -> None:
        if self._drain is None:
            self._drain = asyncio.get_running_loop().create_task(self._finish_admitted())
        else:  # asked twice: now
            self.should_exit = self.force_exit = True

    async def _finish_admitted(self) -> None:
        """The listener stays open and refuses (503); what is in flight gets the grace period."""
        grace = self._service.grace
        logger.info("draining", extra={"in_flight": self._service.in_flight.count, "grace_seconds": grace.seconds})
        grace.begin()
        self._service.engine.stop_admission()
        for connection in self._edges():
            connection.refuse_late_body()
        try:
            await asyncio.wait_for(self._service.in_flight.idle(), grace.seconds)
        except TimeoutError:
            logger.error("cutting off", extra={"in_flight": self._service.in_flight.count})
            self._service.engine.cut_off()
            try:
                await asyncio.wait_for(self._service.in_flight.idle(), LAST_SECONDS)
            except TimeoutError:
                self._service.engine.abandon()
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sent(), grace.left())
        self.should_exit = True

    def _edges(self) -> list[EdgeProtocol]:
        return [connection for connection in self.server_state.connections if isinstance(connection, EdgeProtocol)]

    async def _sent(self) -> None:
        """The last of every answer is the kernel's, which goes on sending when this process is gone."""
        while any(connection.unsent for connection in self._edges()):  # noqa: ASYNC110 - nobody tells of that
            await asyncio.sleep(0.02)
