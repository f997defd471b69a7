"""Load: arrivals drawn in advance (open loop), or clients that ask again when they are answered (closed loop)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from time import perf_counter

import numpy as np

from benchmarks.serving.client import Answer, Ask, Client


@dataclass(frozen=True)
class Outcome:
    """``intended``: when the client meant to ask; all latencies count from there, so a stalled server hides nothing."""

    ask: Ask
    intended: float
    answer: Answer

    @property
    def latency(self) -> float:
        return self.answer.finished - self.intended

    @property
    def lag(self) -> float:
        """How late the client itself was."""
        return self.answer.sent - self.intended


@dataclass(frozen=True)
class Run:
    """Outcomes of one load, which began and ended (last answer) at these ``perf_counter`` times."""

    outcomes: list[Outcome]
    started: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def images(self) -> int:
        """Rows of whole answers."""
        return sum(outcome.ask.n for outcome in self.outcomes if outcome.answer.ok)

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds


def poisson(rate: float, seconds: float, rng: np.random.Generator) -> list[float]:
    """Arrival times in [0, seconds) of a Poisson process of ``rate`` a second: a number, then places."""
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"rate and duration must be positive, not {rate} and {seconds}")
    times: list[float] = np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds))).tolist()
    return times


async def open_loop(client: Client, arrivals: Sequence[tuple[float, Ask]]) -> Run:
    """Ask at each time (seconds from now), whether or not earlier ones are answered; wait for all answers."""
    started = perf_counter()
    tasks: list[asyncio.Task[Outcome]] = []
    for at, ask in sorted(arrivals, key=lambda arrival: arrival[0]):
        await asyncio.sleep(max(0.0, started + at - perf_counter()))
        tasks.append(asyncio.create_task(_fire(client, ask, started + at)))
    outcomes = list(await asyncio.gather(*tasks))
    return Run(outcomes, started, perf_counter())


async def closed_loop(
    client: Client,
    make: Callable[[int], Ask],
    clients: int,
    seconds: float | None = None,
    most: int | None = None,
    enough: Callable[[Outcome], bool] | None = None,
) -> Run:
    """``clients`` ask again as soon as they are answered: for ``seconds``, ``most`` requests, or until each has
    ``enough``. ``make`` gets the number of the request."""
    assert seconds is not None or most is not None or enough is not None, "a closed loop must end"
    numbers = count() if most is None else iter(range(most))
    outcomes: list[Outcome] = []
    started = perf_counter()

    async def work() -> None:
        for number in numbers:
            if seconds is not None and perf_counter() - started >= seconds:
                return
            outcome = await _fire(client, make(number), perf_counter())
            outcomes.append(outcome)
            if enough is not None and enough(outcome):
                return

    await asyncio.gather(*(work() for _ in range(clients)))
    return Run(outcomes, started, perf_counter())


async def _fire(client: Client, ask: Ask, intended: float) -> Outcome:
    return Outcome(ask, intended, await client.ask(ask))
