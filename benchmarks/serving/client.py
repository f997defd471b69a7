"""A lean asyncio HTTP/1.1 client that can hang up midway and read slowly, as clients do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Self

from benchmarks.serving.response import BadResponse, ResponseParser

# Below every server's keep-alive timeout (uvicorn: 5 s), so that no request meets a connection as it is closed.
IDLE_SECONDS = 2.0
# A slow reader's kernel must not swallow the answer on its behalf.
SLOW_BUFFER_BYTES = 16 * 1024
REFUSALS = (429, 503)


@dataclass(frozen=True)
class Ask:
    """One request. ``hang_up``: seconds after which the client is gone; ``read_rate``: bytes a second it reads."""

    target: str
    n: int = 1
    kind: str = ""
    verb: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    keep: bool = False
    hang_up: float | None = None
    read_rate: float | None = None

    def encoded(self, host: str) -> bytes:
        lines = [f"{self.verb} {self.target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.verb == "POST":
            lines.append("Content-Length: 0")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(frozen=True)
class Answer:
    """What came of it; times are ``perf_counter``'s. ``error``: why there is no whole answer, or None.

    ``status`` is None without a head, ``body`` None unless it was asked to be kept.
    """

    status: int | None
    headers: Mapping[str, str]
    body: bytes | None
    size: int
    sent: float
    finished: float
    error: str | None = None
    hung_up: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None and self.status == 200

    @property
    def refused(self) -> bool:
        return self.error is None and self.status in REFUSALS


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.idle_since = perf_counter()
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._parser: ResponseParser | None = None
        self._over: asyncio.Future[None] | None = None
        self._read_rate: float | None = None

    @property
    def usable(self) -> bool:
        fresh = perf_counter() - self.idle_since < IDLE_SECONDS
        return self._transport is not None and not self._transport.is_closing() and fresh

    async def ask(self, ask: Ask, host: str) -> Answer:
        """Send it and wait for the end of the answer, or until the client has had enough. Raises nothing."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._parser = parser = ResponseParser(ask.keep)
        self._over, self._read_rate = loop.create_future(), ask.read_rate
        sent = perf_counter()
        self._transport.write(ask.encoded(host))
        error, hung_up = None, False
        try:
            async with asyncio.timeout(ask.hang_up):
                await self._over
        except TimeoutError:
            error, hung_up = "hung up", True
        except (BadResponse, OSError) as problem:
            error = str(problem) or type(problem).__name__
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._parser = None
        self.idle_since = finished = perf_counter()
        if not parser.reusable:  # nor is it after a hang-up
            self.abort()
        body = None if parser.body is None else bytes(parser.body)
        return Answer(parser.status, parser.headers, body, parser.size, sent, finished, error, hung_up)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.abort()
            return
        try:
            self._parser.feed(data)
        except BadResponse as error:
            self._finish(error)
            return
        if self._parser.done:
            self._finish(None)
        elif self._read_rate is not None:
            self._rest(len(data) / self._read_rate)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)
        if self._parser is None:
            return
        try:
            self._parser.end()
        except BadResponse as error:
            self._finish(exc or error)
        else:
            self._finish(None)

    def _rest(self, seconds: float) -> None:
        assert self._transport is not None
        transport = self._transport
        transport.pause_reading()

        def go_on() -> None:
            if not transport.is_closing():
                transport.resume_reading()

        asyncio.get_running_loop().call_later(seconds, go_on)

    def _finish(self, error: Exception | None) -> None:
        if self._over is None or self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)


class Client:
    """Connections to one server: an idle one if there is one, else a new one, as many as there are requests.

    ``async with`` closes them all.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address, self._host = (host, port), f"{host}:{port}"
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        await asyncio.gather(*(connection.lost for connection in connections))

    async def ask(self, ask: Ask) -> Answer:
        """Raises nothing: a refused connection is an Answer with ``error``, too."""
        started = perf_counter()
        try:
            connection = await self._connection(slow=ask.read_rate is not None)
        except OSError as error:
            return Answer(None, {}, None, 0, started, perf_counter(), f"no connection: {error.strerror or error}")
        answer = await connection.ask(ask, self._host)
        if connection.usable and ask.read_rate is None:
            self._idle.append(connection)
        return answer

    async def get(self, target: str) -> Answer:
        return await self.ask(Ask(target, verb="GET", keep=True))

    async def _connection(self, slow: bool) -> Connection:
        while self._idle and not slow:
            if (connection := self._idle.pop()).usable:
                return connection
            connection.abort()
        loop = asyncio.get_running_loop()
        handle = socket.socket()
        try:
            handle.setblocking(False)
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if slow:
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
            await loop.sock_connect(handle, self._address)
            _, connection = await loop.create_connection(Connection, sock=handle)
        except BaseException:
            handle.close()
            raise
        self._open.add(connection)
        connection.lost.add_done_callback(lambda _: self._open.discard(connection))
        return connection


def ask_blocking(handle: socket.socket, ask: Ask, host: str) -> ResponseParser:
    """One request on a blocking socket: for latencies that an event loop of the client's would blur.

    Raises BadResponse, OSError.
    """
    parser = ResponseParser(ask.keep)
    handle.sendall(ask.encoded(host))
    while not parser.done:
        if data := handle.recv(1 << 18):
            parser.feed(data)
        else:
            parser.end()
    return parser
