"""A server that shuts down, in this process: what it still owes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from live import PATIENCE, Wire, request

from service.http.app import create_app
from service.http.server import DrainingServer, bind
from service.settings import HttpSettings, LimitSettings, Settings


class ToldServer(DrainingServer):
    """Signals are the main thread's; this one is told."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def sigterm(self) -> None:
        self.servers[0].get_loop().call_soon_threadsafe(self._on_signal)


@pytest.mark.parametrize("fmt", ["npz", "npy"])
def test_the_last_bytes_of_an_answer_reach_a_slow_reader(start: Any, fmt: str) -> None:
    """For the application the request is over once they are uvicorn's, who waits a second for who takes them."""
    settings = Settings(http=HttpSettings(grace_seconds=PATIENCE), limits=LimitSettings(max_n=10**6))
    app = create_app(start(), settings)
    server, listener = ToldServer(app, settings), bind("127.0.0.1:0")
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)  # of the connections, too
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wire = Wire(listener.getsockname()[1])
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    wire.send(request(f"/sample?n=20000&model=points&method=prior&format={fmt}", "GET"))
    in_flight, body = app.state.service.in_flight, b""
    while not body or in_flight.count:
        body += wire.socket.recv(1_024)
    server.sigterm()
    time.sleep(2.5)  # longer than that
    while more := wire.socket.recv(65_536):
        body += more
    thread.join(PATIENCE)
    assert not thread.is_alive()
    wire.close()
    head, _, rows = body.partition(b"\r\n\r\n")
    assert f"content-length: {len(rows)}".encode() in head
