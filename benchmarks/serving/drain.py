"""SIGTERM under full load, again and again: nothing admitted fails, and the process ends with 0 in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass
from time import perf_counter

import numpy as np

from benchmarks.serving.abilities import sample_target
from benchmarks.serving.client import Ask, Client
from benchmarks.serving.load import Outcome, Run, closed_loop
from benchmarks.serving.overload import retry_after
from benchmarks.serving.processes import Server, Target, serving
from benchmarks.serving.report import Report, markdown_table
from benchmarks.serving.windows import capacity

FORMATS = ("npz", "npy")
# A request on its way this long before the signal has been read and decided upon, else the server is too slow to say.
ADMITTED_SECONDS = 0.25
# After the grace period the server may take this long to cut off and to leave.
LEAVING_SECONDS = 10.0


@dataclass(frozen=True)
class Settings:
    """``times`` fresh servers, each under ``clients`` that ask for ``sizes`` in turn; a size of 0 stands for
    ``bulk_seconds`` of the capacity. Answers are held whole (npz) and streamed (npy) by turns; one request in
    ``slow_every`` is read at ``slow_rate`` bytes a second. The signal comes at a time drawn uniformly from ``earliest``
    to ``latest``."""

    times: int = 50
    clients: int = 12
    sizes: tuple[int, ...] = (1, 1, 64, 64, 0)
    bulk_seconds: float = 2.0
    earliest: float = 0.3
    latest: float = 1.5
    slow_every: int = 8
    slow_rate: float = 2e6
    grace: float = 30.0
    seed: int = 0


@dataclass(frozen=True)
class End:
    """One server's end. ``verdicts``: what became of the requests."""

    code: int | None
    seconds: float
    verdicts: Counter[str]


async def measure(target: Target, settings: Settings) -> Report:
    """Every server's end and the sum of what became of the requests. Raises ServerFailed, ValueError with a url."""
    if target.url is not None:
        raise ValueError("drain ends the server it measures, so it starts its own; leave --url out")
    rng = np.random.default_rng(settings.seed)
    ends: list[End] = []
    for _ in range(settings.times):
        with serving(target) as server:
            async with Client(server.host, server.port) as client:
                delay = float(rng.uniform(settings.earliest, settings.latest))
                ends.append(await _end(server, client, settings, delay))
    verdicts = sum((end.verdicts for end in ends), Counter[str]())
    codes = Counter(end.code for end in ends)
    report = Report(f"drain: {settings.times} SIGTERMs under {settings.clients} clients")
    report.tables.append(
        markdown_table(("what became of a request", "requests"), [(k, str(v)) for k, v in sorted(verdicts.items())])
    )
    slowest = max(end.seconds for end in ends)
    report.lines.append(f"Exit codes {dict(codes)}; from the signal to the end {slowest:.1f} s at most.")
    report.facts |= {
        "settings": asdict(settings),
        "ends": [{"code": e.code, "seconds": e.seconds, "verdicts": dict(e.verdicts)} for e in ends],
    }
    lost = sum(number for name, number in verdicts.items() if name.startswith("LOST"))
    report.goal(f"no admitted request fails: {lost} did", lost == 0, law=True)
    report.goal(f"exit code 0 every time: {codes[0]} of {settings.times}", codes[0] == settings.times, law=True)
    within = all(end.code is not None and end.seconds <= settings.grace for end in ends)
    report.goal(f"within the grace period of {settings.grace:.0f} s: {slowest:.1f} s at most", within, law=True)
    return report


async def _end(server: Server, client: Client, settings: Settings, delay: float) -> End:
    probe = await capacity(client, sample_target(64, format="npz"), 64, 4, 0.5)
    sizes = [n or max(1, round(settings.bulk_seconds * probe.rate)) for n in settings.sizes]

    def ask(number: int) -> Ask:
        n, turn = sizes[number % len(sizes)], number // len(sizes)
        slow = number % settings.slow_every == settings.slow_every - 1
        return Ask(sample_target(n, format=FORMATS[turn % 2]), n, read_rate=settings.slow_rate if slow else None)

    load = asyncio.create_task(closed_loop(client, ask, settings.clients, enough=lambda o: not o.answer.ok))
    await asyncio.sleep(delay)
    signalled = perf_counter()
    server.terminate()
    code = await asyncio.to_thread(server.wait, settings.grace + LEAVING_SECONDS)
    seconds = perf_counter() - signalled
    if code is None:
        server.kill()  # so that those who wait for it learn it, and are counted as lost
    run: Run = await load
    return End(code, seconds, Counter(verdict(outcome, signalled) for outcome in run.outcomes))


def verdict(outcome: Outcome, signalled: float) -> str:
    """What a request's end means; LOST is what must not be.

    A refusal, or a connection that never answered, is fine for a request that came with the signal or after it: it was
    not admitted. Whoever got a part of an answer was admitted, and so was whoever came well before the signal.
    """
    answer = outcome.answer
    if answer.ok:
        return "answered" if answer.finished < signalled else "answered after the signal"
    early = answer.sent < signalled - ADMITTED_SECONDS
    if answer.refused:
        if early:
            return "LOST: refused although it came before the signal"
        return "refused" if retry_after(answer) is not None else "LOST: refused without Retry-After"
    if answer.error is None:
        return f"LOST: answered {answer.status}"
    if answer.status is not None or early:
        return f"LOST: {answer.error}"
    return "turned away without an answer"
