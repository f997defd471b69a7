"""Many times the capacity offered open-loop: goodput, refusals, memory, and clients that obey Retry-After."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass
from math import isfinite, isnan
from time import perf_counter

import numpy as np

from benchmarks.serving.abilities import abilities, sample_target
from benchmarks.serving.ceiling import client_ceiling
from benchmarks.serving.client import REFUSALS, Answer, Ask, Client
from benchmarks.serving.estimates import quantile
from benchmarks.serving.exposition import Books, books, scrape, settled
from benchmarks.serving.load import Run, open_loop, poisson
from benchmarks.serving.processes import Server, Target
from benchmarks.serving.report import Report, markdown_table, milliseconds
from benchmarks.serving.watch import Memory, watch_memory
from benchmarks.serving.windows import capacity, under_test

GOODPUT_GOAL, REFUSAL_SECONDS_GOAL = 0.9, 0.010
# Of resident memory over the load: two answers in flight more or less, not a leak.
FLAT_BYTES = 64 * 2**20
ALLOWED = (200, *REFUSALS)


@dataclass(frozen=True)
class Settings:
    """``factor`` times the capacity for ``seconds``, in requests of ``n``; ``obedient`` clients come during it, wait as
    they are told, up to ``patience`` seconds in all. The capacity is measured for ``probe`` seconds on each side."""

    seconds: float = 60.0
    factor: float = 10.0
    n: int = 64
    obedient: int = 20
    patience: float = 600.0
    probe: float = 5.0
    clients: int = 8
    method: str | None = None
    format: str = "npz"
    seed: int = 0


@dataclass(frozen=True)
class Obedience:
    """One client that obeyed: how often it was refused, how long it took in all, its last answer."""

    refusals: int
    seconds: float
    answer: Answer


async def measure(target: Target, settings: Settings) -> Report:
    """One overload between two measurements of the capacity. Raises MeasurementFailed, ServerFailed."""
    async with under_test(target) as (server, client):
        able = abilities(server)
        one = sample_target(settings.n, method=settings.method, format=settings.format)
        await capacity(client, one, settings.n, settings.clients, settings.probe / 4)
        cpu = server.cpu_seconds()
        quiet = await capacity(client, one, settings.n, settings.clients, settings.probe)
        each, before = (server.cpu_seconds() - cpu) / quiet.images, quiet.rate
        rate, rng = settings.factor * before / settings.n, np.random.default_rng(settings.seed)
        arrivals = [(at, Ask(one, settings.n, keep=True)) for at in poisson(rate, settings.seconds, rng)]
        obeying = [
            _obey(client, Ask(one, settings.n, "obedient"), at, settings.patience)
            for at in rng.uniform(0, settings.seconds, settings.obedient)
        ]
        cpu = server.cpu_seconds()
        async with watch_memory(server) as memory:
            run, obedient, decoded = await asyncio.gather(
                open_loop(client, arrivals), asyncio.gather(*obeying), _decode_within(server, settings.seconds)
            )
        beyond = server.cpu_seconds() - cpu - each * (run.images + sum(one.answer.ok for one in obedient) * settings.n)
        page = settled(server)
        after = (await capacity(client, one, settings.n, settings.clients, settings.probe)).rate
    report = Report(f"overload: {able.model}, {settings.factor:g} times capacity, n = {settings.n}")
    report.lines.append(
        f"Capacity {before:.0f} images/s before, {after:.0f} after; offered {len(arrivals)} requests in "
        f"{settings.seconds:.0f} s ({rate:.0f} a second), {settings.factor * settings.seconds:.0f} s of device time."
    )
    report.lines.append(str(await client_ceiling()))
    report.facts |= {"settings": asdict(settings), "capacity": [before, after], "offered": len(arrivals)}
    mean = (before + after) / 2
    _tell_goodput(report, decoded.useful(books(page)), mean)
    _tell_whole(report, run, obedient, settings, mean)
    _tell_answers(report, run)
    _tell_refusing(report, run, obedient, beyond)
    _tell_memory(report, memory)
    _tell_obedient(report, obedient)
    report.goal(f"decoded = delivered + waste + waiting: {books(page)}", books(page).balance, law=True)
    return report


@dataclass(frozen=True)
class Decoded:
    """The books at both ends of the load, and the seconds between."""

    first: Books
    last: Books
    seconds: float

    def useful(self, settled: Books) -> float:
        """Rows a second decoded under the load and delivered, then or later; ``settled``: after all answers."""
        left = settled.wasted + settled.waiting - self.first.wasted - self.first.waiting
        return (self.last.decoded - self.first.decoded - left) / self.seconds


async def _decode_within(server: Server, seconds: float) -> Decoded:
    first, started = books(await asyncio.to_thread(scrape, server)), perf_counter()
    await asyncio.sleep(seconds)
    last = books(await asyncio.to_thread(scrape, server))
    return Decoded(first, last, perf_counter() - started)


def _tell_goodput(report: Report, useful: float, able: float) -> None:
    report.lines.append(
        f"Goodput {useful:.0f} images/s: decoded within the load and delivered, then or later ({useful / able:.2f} of "
        "capacity)."
    )
    report.facts["goodput"] = {"useful": useful, "capacity": able}
    report.goal(f"goodput at least 90% of capacity: {useful / able:.3f}", useful >= GOODPUT_GOAL * able)


def _tell_whole(report: Report, run: Run, obedient: list[Obedience], settings: Settings, able: float) -> None:
    """Answers of the length of the load are few within it, however well the server works."""
    answers = [(o.ask.n, o.answer) for o in run.outcomes] + [(settings.n, one.answer) for one in obedient]
    ends = [(n, answer.finished - run.started) for n, answer in answers if answer.ok]
    within = sum(n for n, end in ends if end < settings.seconds) / settings.seconds
    last = max((end for _, end in ends), default=settings.seconds)
    whole = sum(n for n, _ in ends) / last
    report.lines.append(
        f"Whole answers that ended within the load: {within:.0f} images/s ({within / able:.2f} of capacity); until the "
        f"last answer, {last - settings.seconds:.1f} s later: {whole:.0f} ({whole / able:.2f})."
    )
    report.facts["goodput"] |= {"whole_within": within, "whole_until_last": whole}


def _tell_answers(report: Report, run: Run) -> None:
    counts = Counter(o.answer.status if o.answer.error is None else o.answer.error for o in run.outcomes)
    rows = []
    for kind, name in ((200, "200"), *((status, str(status)) for status in REFUSALS)):
        ours = [o for o in run.outcomes if o.answer.error is None and o.answer.status == kind]
        if ours:
            latencies = [o.latency for o in ours]
            cells = (*(milliseconds(quantile(latencies, q)) for q in (0.5, 0.99, 0.999)), milliseconds(max(latencies)))
            rows.append((name, str(len(ours)), *cells))
    report.tables.append(markdown_table(("answer", "requests", "p50 ms", "p99", "p99.9", "worst"), rows))
    others = {str(kind): number for kind, number in counts.items() if kind not in ALLOWED}
    report.facts["answers"] = {str(kind): number for kind, number in counts.items()}
    report.goal(f"only 200, 429 and 503; others: {others or 'none'}", not others, law=True)
    refusals = [o for o in run.outcomes if o.answer.refused]
    if not refusals:
        report.lines.append("Nothing was refused.")
        return
    told = sum(retry_after(o.answer) is not None for o in refusals)
    report.goal(f"every refusal has a Retry-After: {told} of {len(refusals)}", told == len(refusals), law=True)
    p99 = float(np.quantile([o.answer.finished - o.answer.sent for o in refusals], 0.99, method="inverted_cdf"))
    lag = quantile([o.lag for o in run.outcomes], 0.99)
    report.lines.append(
        f"The client was late by {milliseconds(lag)} ms at p99 (refusals are timed from the real sending)."
    )
    report.facts["refusal_p99_seconds"] = p99
    report.goal(f"refusals within 10 ms at p99: {milliseconds(p99)} ms", p99 < REFUSAL_SECONDS_GOAL)


def _tell_refusing(report: Report, run: Run, obedient: list[Obedience], cpu: float) -> None:
    """``cpu``: the server's processor time beyond what the images cost in a closed loop."""
    refusals = sum(o.answer.refused for o in run.outcomes) + sum(one.refusals for one in obedient)
    if refusals and not isnan(cpu):
        report.lines.append(f"A refusal costs the server {1e3 * cpu / refusals:.1f} ms of CPU time, by difference.")
        report.facts["refusal_cpu_seconds"] = cpu / refusals


def _tell_memory(report: Report, memory: Memory) -> None:
    report.facts["resident_bytes"] = memory.values
    if isnan(memory.first):
        return
    report.lines.append(f"Resident memory of the server: {memory}.")
    report.goal(f"memory flat: {memory.growth / 2**20:+.0f} MiB from first to last", memory.growth < FLAT_BYTES)


def _tell_obedient(report: Report, obedient: list[Obedience]) -> None:
    if not obedient:
        return
    served = sum(one.answer.ok for one in obedient)
    refusals = [one.refusals for one in obedient]
    report.lines.append(
        f"Clients that obey Retry-After: {served} of {len(obedient)} served, refused {sum(refusals)} times in all "
        f"(at most {max(refusals)}), after {max(one.seconds for one in obedient):.1f} s at most."
    )
    report.facts["obedient"] = [(one.refusals, one.seconds, one.answer.status) for one in obedient]
    report.goal(f"all clients that obey Retry-After succeed: {served} of {len(obedient)}", served == len(obedient))


async def _obey(client: Client, ask: Ask, at: float, patience: float) -> Obedience:
    """Come after ``at`` seconds, and come back when told to."""
    await asyncio.sleep(at)
    started, refusals = perf_counter(), 0
    while True:
        answer = await client.ask(ask)
        seconds = perf_counter() - started
        if not answer.refused or seconds > patience:
            return Obedience(refusals, seconds, answer)
        refusals += 1
        await asyncio.sleep(retry_after(answer) or 1.0)


def retry_after(answer: Answer) -> float | None:
    """Seconds of a usable Retry-After, else None."""
    try:
        seconds = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None
