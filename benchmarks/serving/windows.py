"""Windows of bulk load: whole requests over HTTP, or a worker's bare loop, in turn."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.serving.client import Ask, Client
from benchmarks.serving.estimates import Bounds, ratio_interval
from benchmarks.serving.load import Run, closed_loop
from benchmarks.serving.processes import Server, Target, Worker, serving

HEADINGS = ("what", "images/s", "against", "ratio, 97%", "CPU ms/image", "against", "ratio of CPU, 97%", "pairs")


@contextlib.asynccontextmanager
async def under_test(target: Target) -> AsyncIterator[tuple[Server, Client]]:
    """The server and a client of it, both gone afterwards. Raises ServerFailed."""
    with serving(target) as server:
        async with Client(server.host, server.port) as client:
            yield server, client


class MeasurementFailed(Exception):
    """A request that had to succeed did not; the message says which and how."""


@dataclass(frozen=True)
class Window:
    """``cpu``: seconds of processor time that the images cost, NaN where it cannot be seen."""

    images: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.images / self.seconds

    @property
    def cpu_each(self) -> float:
        return self.cpu / self.images


Side = Callable[[], Awaitable[Window]]


async def interleave(first: Side, second: Side, pairs: int) -> list[tuple[Window, Window]]:
    """``pairs`` pairs of windows; who begins alternates, so that a drift of the machine favours neither."""
    measured = []
    for number in range(pairs):
        if number % 2:
            late = await second()
            measured.append((await first(), late))
        else:
            measured.append((await first(), await second()))
    return measured


def ratios(pairs: Sequence[tuple[Window, Window]]) -> tuple[Bounds, Bounds | None]:
    """Speed of the first over the second; CPU time of the second over the first (so both grow with what is good)."""
    speed = ratio_interval([first.rate for first, _ in pairs], [second.rate for _, second in pairs])
    if any(not window.cpu > 0 for pair in pairs for window in pair):  # NaN: somebody else's server
        return speed, None
    return speed, ratio_interval([second.cpu_each for _, second in pairs], [first.cpu_each for first, _ in pairs])


def row(name: str, pairs: Sequence[tuple[Window, Window]], speed: Bounds, cpu: Bounds | None) -> tuple[str, ...]:
    """One line under ``HEADINGS``."""
    sides = [
        Window(sum(w.images for w in side), sum(w.seconds for w in side), sum(w.cpu for w in side))
        for side in zip(*pairs, strict=True)
    ]
    rates = [f"{side.rate:.1f}" for side in sides]
    costs = [f"{1e3 * side.cpu_each:.3f}" if cpu else "-" for side in sides]
    return (name, *rates, str(speed), *costs, str(cpu or "-"), str(len(pairs)))


def over_http(client: Client, server: Server, ask: Ask, requests: int, connections: int) -> Side:
    """A window of ``requests`` times ``ask`` on ``connections``, from the first byte sent to the last received."""

    async def side() -> Window:
        cpu = server.cpu_seconds()
        run = await closed_loop(client, lambda _: ask, connections, most=requests)
        require_answers(run)
        return Window(run.images, run.seconds, server.cpu_seconds() - cpu)

    return side


def bare(worker: Worker, server: Server, seconds: float) -> Side:
    """A window of the bare loop, while the server is stopped."""

    async def side() -> Window:
        with server.paused():
            return Window(**worker.do(seconds=seconds))

    return side


def require_answers(run: Run) -> None:
    """Raises MeasurementFailed for anything but 200."""
    for outcome in run.outcomes:
        if not outcome.answer.ok:
            said = outcome.answer.error or (outcome.answer.body or b"").decode(errors="replace")[:300]
            raise MeasurementFailed(f"{outcome.ask.target} was answered {outcome.answer.status}: {said}")


async def capacity(client: Client, target: str, n: int, clients: int, seconds: float) -> Run:
    """What closed-loop clients get: its ``rate`` is the capacity in images a second. Raises MeasurementFailed."""
    run = await closed_loop(client, lambda _: Ask(target, n, keep=True), clients, seconds=seconds)
    require_answers(run)
    return run
