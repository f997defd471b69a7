"""The server under test as a process of its own, and what the kernel says of it: CPU time, memory, exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks.serving.client import Ask, ask_blocking
from benchmarks.serving.response import BadResponse

ROOT = Path(__file__).parents[2]
PROC = Path("/proc")
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
START_SECONDS, LEAVING_SECONDS, POLL_SECONDS = 180.0, 30.0, 0.05
# The fields of /proc/PID/stat after the command's name (man 5 proc): parent, user ticks, system ticks.
PARENT, USER, SYSTEM = 1, 11, 12


class ServerFailed(Exception):
    """The server did not come up; the message has its last words."""


@dataclass(frozen=True)
class Target:
    """What to measure: a server of our own over ``bundle`` (None: the random 128x128x3 generator), or one at ``url``.

    ``threads``: of torch, also in what the server is compared with. ``arguments`` go to ``winnow serve``.
    ``switchable``: its metrics can be silenced.
    """

    bundle: Path | None
    threads: int
    url: str | None = None
    arguments: tuple[str, ...] = ()
    switchable: bool = False


class Server:
    """A running server; ``pid`` is None when it is somebody else's."""

    def __init__(self, host: str, port: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self.host, self.port, self._process = host, port, process

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time of all its processes and threads; NaN for somebody else's server."""
        return float("nan") if self.pid is None else sum(_cpu(pid) for pid in family(self.pid))

    def resident_bytes(self) -> float:
        """Resident memory of all its processes; NaN for somebody else's server."""
        return float("nan") if self.pid is None else sum(_resident(pid) for pid in family(self.pid))

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stopped (SIGSTOP), so that nothing it does in idle time disturbs what it is compared with."""
        pids = [] if self.pid is None else family(self.pid)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "only a server of our own gets signals"
        self._process.send_signal(number)

    def kill(self) -> None:
        """At once, with all its processes."""
        for pid in [] if self.pid is None else family(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait(self, timeout: float) -> int | None:
        """The exit code, or None when it still runs after ``timeout`` seconds."""
        assert self._process is not None
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def get(self, target: str) -> Any:
        """The JSON at ``target``, on a connection of its own. Raises OSError, BadResponse."""
        return json.loads(self.get_text(target))

    def get_text(self, target: str) -> str:
        """The body at ``target`` of a 200. Raises OSError, BadResponse."""
        with socket.create_connection((self.host, self.port), timeout=60) as handle:
            parser = ask_blocking(handle, Ask(target, verb="GET", keep=True), self.host)
        if parser.status != 200:
            raise BadResponse(f"{target} answers {parser.status}")
        assert parser.body is not None
        return parser.body.decode()


@contextlib.contextmanager
def serving(target: Target) -> Iterator[Server]:
    """A ready server; one of our own is killed at the end if it still runs. Raises ServerFailed."""
    if target.url is not None:
        parts = urlsplit(target.url)
        if parts.hostname is None:
            raise ServerFailed(f"{target.url!r} is no URL, as in http://127.0.0.1:8000")
        yield Server(parts.hostname, parts.port or 80)
        return
    if target.bundle is not None and not target.bundle.is_dir():
        raise ServerFailed(f"there is no folder {target.bundle}; name a bundle, or use --random-128")
    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder, (Path(folder) / "log").open("w+b") as log:
        port = free_port()
        command = serve_command(target, Path(folder), port)
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        server = Server("127.0.0.1", port, process)
        try:
            _await_ready(server, process, Path(folder) / "log")
            yield server
        finally:
            if process.poll() is None:
                server.kill()
            process.wait()


def serve_command(target: Target, folder: Path, port: int) -> list[str]:
    """``winnow serve``; the random generator is written to ``folder`` and served by a host that knows its network."""
    bundles = target.bundle
    module = "benchmarks.serving.host" if bundles is None or target.switchable else "winnow"
    if bundles is None:
        from benchmarks.workloads import write_random_bundle

        bundles = write_random_bundle(folder / "bundles")
    return [
        sys.executable, "-m", module, "serve", "--bind", f"127.0.0.1:{port}", "--bundles", str(bundles.resolve()),
        "--threads", str(target.threads), "--log", "json", *target.arguments,
    ]  # fmt: skip


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def family(pid: int) -> list[int]:
    """``pid`` and all its descendants that live."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents[int(entry.name)] = int(fields[PARENT])
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


class Worker:
    """A child that does one piece of work when told to (``benchmarks.serving.workers``), else sleeps on its stdin."""

    def __init__(self, kind: str, bundle: Path | None, threads: int, *arguments: str) -> None:
        where = ["--random-128"] if bundle is None else ["--bundle", str(bundle)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.workers", kind, *where, "--threads", str(threads), *arguments],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=LEAVING_SECONDS)  # the end of its stdin is its end
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def do(self, **order: Any) -> Any:
        """Send an order, wait for its result. Raises ServerFailed when the child has died."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise ServerFailed(f"the worker ended with {self._process.wait()}; its error is above")
        return json.loads(line)


def _await_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, BadResponse):
            server.get_text("/readyz")
            return
        time.sleep(POLL_SECONDS)
    words = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
    raise ServerFailed(f"the server was not ready (exit code {process.poll()}); it said: {words[0]}")


def _stat(pid: int) -> Sequence[str]:
    """The fields of /proc/PID/stat after the command's name, which may hold spaces; empty for one that is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return ()
    return text.rpartition(")")[2].split()


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[USER]) + int(fields[SYSTEM])) / TICKS if fields else 0.0


def _resident(pid: int) -> int:
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0
