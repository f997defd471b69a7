"""Clients of whom one in five hangs up midway: rows decoded for nobody, and memory over many requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isnan

import numpy as np

from benchmarks.serving.abilities import abilities, sample_target
from benchmarks.serving.client import Ask, Client
from benchmarks.serving.estimates import quantile, segment_means, slope_interval
from benchmarks.serving.exposition import avoidable_waste, books, scrape, settled
from benchmarks.serving.load import Outcome, closed_loop
from benchmarks.serving.processes import Server, Target
from benchmarks.serving.report import Report, markdown_table
from benchmarks.serving.windows import capacity, under_test

WASTE_GOAL = 0.02
# The first part fills caches, buffers and the allocator; the rest must not grow.
SETTLING, SEGMENTS, SAMPLES = 0.25, 10, 400
PER = 100_000
# A request's share of this growth is 168 bytes: less than one record of it that were kept.
FLAT_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Settings:
    """``requests`` of ``sizes`` in turn by ``clients`` in a closed loop; a share ``hang_ups`` leaves after a time drawn
    uniformly from none to the median latency of its size, which ``probe`` seconds of the same loop find."""

    requests: int = 5_000
    hang_ups: float = 0.2
    sizes: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1, 64)
    clients: int = 16
    probe: float = 1.0
    method: str | None = None
    seed: int = 0


async def measure(target: Target, settings: Settings) -> Report:
    """Waste and memory over the whole run. Raises MeasurementFailed, ServerFailed."""
    async with under_test(target) as (server, client):
        able = abilities(server)
        make = await _maker(client, server, settings)
        before, memory = scrape(server), []
        every = max(1, settings.requests // SAMPLES)

        def look(number: int) -> Ask:
            if number % every == 0:
                memory.append((number, server.resident_bytes()))
            return make(number)

        run = await closed_loop(client, look, settings.clients, most=settings.requests)
        await asyncio.sleep(0)
        page = settled(server)
    spent = page.since(before)
    report = Report(f"hang-ups: {able.model}, {settings.requests} requests, {settings.hang_ups:.0%} hang up")
    left = sum(o.answer.hung_up for o in run.outcomes)
    report.lines.append(
        f"{len(run.outcomes)} requests in {run.seconds:.1f} s ({len(run.outcomes) / run.seconds:.0f} a second), "
        f"{left} left before the answer."
    )
    waste = spent.by("winnow_rows_wasted_total", "reason")
    decoded = books(spent).decoded
    rows = [(reason, f"{n:.0f}", f"{n / decoded:.2%}") for reason, n in sorted(waste.items())]
    report.tables.append(markdown_table(("wasted rows", "number", "of the decoded"), rows))
    share = avoidable_waste(spent) / decoded
    report.facts |= {"settings": asdict(settings), "waste": waste, "decoded": decoded, "left": left, "memory": memory}
    report.goal(f"at most 2% of {decoded:.0f} decoded rows wasted, padding aside: {share:.2%}", share <= WASTE_GOAL)
    _tell_memory(report, memory)
    strange = [o for o in run.outcomes if not (o.answer.ok or o.answer.refused or o.answer.hung_up)]
    report.goal(f"only 200 and refusals; others: {_names(strange) or 'none'}", not strange, law=True)
    report.goal(f"decoded = delivered + waste + waiting: {books(page)}", books(page).balance, law=True)
    return report


async def _maker(client: Client, server: Server, settings: Settings) -> Callable[[int], Ask]:
    """Requests by number; how long a client stays is drawn with the loop's own load on the server."""
    rng = np.random.default_rng(settings.seed)
    targets = {n: sample_target(n, method=settings.method, format="npz") for n in set(settings.sizes)}
    patience: dict[int, float] = {}
    for n, target in targets.items():
        run = await capacity(client, target, n, settings.clients, settings.probe)
        patience[n] = quantile([o.latency for o in run.outcomes], 0.5) or 0.0

    def make(number: int) -> Ask:
        n = settings.sizes[number % len(settings.sizes)]
        leaves, when = rng.uniform(size=2)
        hang_up = float(when) * patience[n] if leaves < settings.hang_ups else None
        return Ask(targets[n], n, str(n), hang_up=hang_up)

    return make


def _tell_memory(report: Report, memory: list[tuple[int, float]]) -> None:
    kept = memory[int(len(memory) * SETTLING) :]
    if len(kept) < SEGMENTS or isnan(kept[0][1]):
        report.lines.append("Too few requests, or somebody else's server: no slope of its memory.")
        return
    numbers, values = (segment_means(part, SEGMENTS) for part in zip(*kept, strict=True))
    slope = slope_interval([number / PER for number in numbers], values)
    told = f"{slope.mean / 2**20:+.1f} ± {slope.half_width / 2**20:.1f} MiB per {PER} requests"
    first, last = (value / 2**20 for value in (memory[0][1], memory[-1][1]))
    report.lines.append(f"Resident memory {first:.0f} MiB at the start, {last:.0f} at the end; slope {told} (97%).")
    report.facts["memory_slope"] = slope
    report.goal(f"memory flat: {told}", slope.mean - slope.half_width <= FLAT_BYTES)


def _names(outcomes: list[Outcome]) -> list[str]:
    return sorted({f"{o.answer.status} {o.answer.error or ''}" for o in outcomes})
