"""What metrics cost: throughput with them over without, and how long /metrics takes under full load."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from benchmarks.serving.abilities import abilities, sample_target
from benchmarks.serving.client import Answer, Ask, Client
from benchmarks.serving.estimates import quantile
from benchmarks.serving.exposition import scrape
from benchmarks.serving.load import Run, closed_loop
from benchmarks.serving.processes import Server, Target
from benchmarks.serving.report import Report, markdown_table, milliseconds
from benchmarks.serving.windows import (
    HEADINGS,
    MeasurementFailed,
    Side,
    Window,
    capacity,
    interleave,
    over_http,
    ratios,
    require_answers,
    row,
    under_test,
)

COST_GOAL, SCRAPE_GOAL = 0.98, 0.01
METRICS = Ask("/metrics", verb="GET")
WARM_UP_SECONDS = 2.0
QUANTILES = (0.5, 0.9, 0.99)
SCRAPED = ("/metrics under", "p50 ms", "p90", "p99", "worst", "within 10 ms by the server's clock", "bytes", "scrapes")


@dataclass(frozen=True)
class Settings:
    """``pairs`` of windows of about ``seconds``, with and without metrics, of bulk requests for ``bulk`` samples on
    ``connections`` and of single samples on ``singles``; then, under the bulk and under both together, /metrics is
    asked ``scrapes`` times, ``pause`` seconds after each answer."""

    pairs: int = 40
    seconds: float = 1.3
    bulk: int = 1_000
    connections: int = 2
    singles: int = 16
    scrapes: int = 150
    pause: float = 0.1


async def measure(target: Target, settings: Settings) -> Report:
    """Both. Raises MeasurementFailed, ServerFailed."""
    if target.url is not None:
        raise MeasurementFailed("metrics are silenced in a server of our own; leave --url out")
    async with under_test(replace(target, switchable=True)) as (server, client):
        able = abilities(server)
        report = Report(f"metrics: {able.model}, {target.threads} threads")
        report.facts["settings"] = asdict(settings)
        bulk = (Ask(sample_target(settings.bulk, format="npz"), settings.bulk), settings.connections)
        single = (Ask(sample_target(1, format="npz")), settings.singles)
        table, counted, made = [], 0.0, 0
        for name, (ask, connections) in (("bulk", bulk), ("n = 1", single)):
            loud, silent = await _sides(client, server, ask, connections, settings.seconds)
            before = scrape(server)
            pairs = await interleave(loud, silent, settings.pairs)
            server.signal(signal.SIGUSR2)
            counted += scrape(server).since(before).total("winnow_samples_total")
            made += sum(window.images for window, _ in pairs)
            table.append(_tell_cost(report, name, pairs))
        report.tables.append(markdown_table(HEADINGS, table))
        report.goal(f"of {made} samples with metrics {counted:.0f} were counted", counted == made, law=True)
        lines = []
        for name, loads in (("bulk", [bulk]), ("bulk and n = 1", [bulk, single])):
            answers, fast = await _scrapes(client, server, loads, settings)
            lines.append(_tell_scrapes(report, name, answers, fast))
        report.tables.append(markdown_table(SCRAPED, lines))
    return report


async def _sides(client: Client, server: Server, ask: Ask, connections: int, seconds: float) -> tuple[Side, Side]:
    """Windows with metrics and without, of as many requests as take about ``seconds``, at least one a connection."""
    rate = (await capacity(client, ask.target, ask.n, connections, WARM_UP_SECONDS)).rate
    window = over_http(client, server, ask, max(connections, round(rate * seconds / ask.n)), connections)

    async def loud() -> Window:
        server.signal(signal.SIGUSR2)
        return await window()

    async def silent() -> Window:
        server.signal(signal.SIGUSR1)
        return await window()

    return loud, silent


def _tell_cost(report: Report, name: str, pairs: Sequence[tuple[Window, Window]]) -> tuple[str, ...]:
    speed, cpu = ratios(pairs)
    report.facts[name] = {"speed": speed, "cpu": cpu, "pairs": [[asdict(w) for w in pair] for pair in pairs]}
    found = cpu or speed
    report.goal(
        f"{name}: images per CPU second with metrics at least {COST_GOAL} of those without: {found}",
        found.value >= COST_GOAL,
    )
    return row(f"{name}, with over without", pairs, speed, cpu)


async def _scrapes(
    client: Client, server: Server, loads: Sequence[tuple[Ask, int]], settings: Settings
) -> tuple[list[Answer], float]:
    """The answers, while so many clients ask each request again and again, and the share of them that were made in time
    by the server's own clock, which begins when it has read the request."""
    over = asyncio.Event()

    def load(ask: Ask, clients: int) -> Coroutine[Any, Any, Run]:
        return closed_loop(client, lambda _: ask, clients, enough=lambda _: over.is_set())

    runs = [asyncio.create_task(load(ask, clients)) for ask, clients in loads]
    before, answers = scrape(server), []
    for _ in range(settings.scrapes):
        await asyncio.sleep(settings.pause)
        answers.append(await client.ask(METRICS))
    taken, name, route = scrape(server).since(before), "http_server_request_duration_seconds", "/metrics"
    fast = taken.total(f"{name}_bucket", http_route=route, le=str(SCRAPE_GOAL))
    over.set()
    for run in runs:
        require_answers(await run)
    if any(not answer.ok for answer in answers):
        raise MeasurementFailed("/metrics was not always answered")
    return answers, fast / taken.total(f"{name}_count", http_route=route)


def _tell_scrapes(report: Report, name: str, answers: Sequence[Answer], fast: float) -> tuple[str, ...]:
    latencies = [answer.finished - answer.sent for answer in answers]
    values = [quantile(latencies, q) for q in QUANTILES]
    report.facts[f"/metrics, {name}"] = {"latencies": latencies, "fast": fast}
    report.goal(
        f"/metrics under {name} at most {1e3 * SCRAPE_GOAL:.0f} ms: {milliseconds(values[0])} at p50, "
        f"{milliseconds(values[1])} at p90 from outside",
        median(latencies) <= SCRAPE_GOAL,
    )
    cells = (*map(milliseconds, [*values, max(latencies)]), f"{fast:.0%}", str(answers[0].size), str(len(answers)))
    return (name, *cells)
