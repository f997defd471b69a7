"""What the client itself can do: its rate against a server that does nothing, so that no limit of it passes for ours.

python -m benchmarks.serving.ceiling PORT      the server that does nothing
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.serving.client import Ask, Client
from benchmarks.serving.load import closed_loop
from benchmarks.serving.processes import POLL_SECONDS, ROOT, START_SECONDS, ServerFailed, Target, free_port
from benchmarks.serving.report import Report

BODY = bytes(1024)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
CLIENTS, SECONDS = 16, 1.5


@dataclass(frozen=True)
class Ceiling:
    """Requests a second in a closed loop, and the client's own processor seconds for each."""

    rate: float
    cpu_each: float

    def __str__(self) -> str:
        return (
            f"The client's ceiling: {self.rate:.0f} requests/s against a server that does nothing, "
            f"{1e6 * self.cpu_each:.0f} us of its CPU time each."
        )


class Nothing(asyncio.Protocol):
    """Answers whatever ends with an empty line."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))


@dataclass(frozen=True)
class Settings:
    """The client has no dials."""


async def measure(_: Target, __: Settings) -> Report:
    """The ceiling alone, for no server of ours."""
    found = await client_ceiling()
    return Report("ceiling", lines=[str(found)], facts={"rate": found.rate, "cpu_each": found.cpu_each})


async def client_ceiling() -> Ceiling:
    """Measured now, on this machine, with a server in a process of its own."""
    port = free_port()
    process = _start(port)
    try:
        await _await_listener(port)
        async with Client("127.0.0.1", port) as client:
            cpu = time.process_time()
            run = await closed_loop(client, lambda _: Ask("/"), CLIENTS, seconds=SECONDS)
            spent = time.process_time() - cpu
    finally:
        process.kill()
        process.wait()
    return Ceiling(len(run.outcomes) / run.seconds, spent / len(run.outcomes))


def _start(port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", __name__, str(port)], cwd=ROOT)


async def _await_listener(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            await asyncio.sleep(POLL_SECONDS)
    raise ServerFailed("the server that does nothing did not come up")


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Nothing, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
