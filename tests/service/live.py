"""The application behind a real socket, in a thread, and a client that says exactly the bytes it is given."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from service.http.connections import uvicorn_config
from service.http.problems import CODES
from service.http.server import bind
from service.http.state import Grace
from service.settings import Settings

PATIENCE = 20  # seconds until a test gives up on a server that should have answered or closed


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The body, checked to be one of ours."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert CODES[document["code"]] == (self.status, document["title"])
        assert document["instance"] == f"urn:winnow:request:{self.headers['x-request-id']}"
        assert self.headers["x-content-type-options"] == "nosniff"
        return document


class Wire:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._stream = self.socket.makefile("rb")

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def answer(self) -> Answer:
        """The next answer; it has a Content-Length or ends with the connection."""
        status = int(self._stream.readline().split()[1])
        headers = {}
        while line := self._stream.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = headers.get("content-length")
        if status == 100:
            return self.answer()
        return Answer(status, headers, self._stream.read(-1 if length is None else int(length)))

    def ask(self, data: bytes | str) -> Answer:
        self.send(data)
        return self.answer()

    def closed(self) -> bool:
        """Wait for the server to close; whether it did so without another byte."""
        try:
            return self._stream.read() == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._stream.close()
        self.socket.close()


class Live:
    """A running server; ``wire()`` opens a connection that ends with it."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.server, self.port = server, port
        self.wires: list[Wire] = []

    def wire(self) -> Wire:
        self.wires.append(Wire(self.port))
        return self.wires[-1]

    def ask(self, data: bytes | str) -> Answer:
        return self.wire().ask(data)


@contextmanager
def serving(app: ASGIApp, settings: Settings, grace: Grace | None = None) -> Iterator[Live]:
    """A server on a free port of loopback; ``grace`` where somebody begins it."""
    listener = bind("127.0.0.1:0")
    server = uvicorn.Server(uvicorn_config(app, settings, grace or Grace(settings.http.grace_seconds)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    live = Live(server, listener.getsockname()[1])
    try:
        yield live
    finally:
        for wire in live.wires:
            wire.close()
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


def request(target: str = "/livez", verb: str = "GET", *lines: str, body: str = "") -> str:
    """A request's bytes, with ``lines`` as further header fields."""
    fields = "".join(f"{line}\r\n" for line in ("Host: test", *lines))
    return f"{verb} {target} HTTP/1.1\r\n{fields}\r\n{body}"
