"""Single samples under a saturating bulk request: their latency in batch times."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.serving.abilities import abilities, sample_target
from benchmarks.serving.ceiling import client_ceiling
from benchmarks.serving.client import Ask, Client
from benchmarks.serving.estimates import QUANTILES, quantile
from benchmarks.serving.exposition import batch_seconds, books, scrape, settled
from benchmarks.serving.load import Run, open_loop, poisson
from benchmarks.serving.processes import Server, Target
from benchmarks.serving.report import Report, markdown_table, milliseconds
from benchmarks.serving.timing import where_time_went
from benchmarks.serving.windows import MeasurementFailed, capacity, require_answers, under_test

GOAL_BATCHES, GOAL_SECONDS = 3, 0.005
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Settings:
    """Poisson arrivals of single samples, ``per_batch`` of them in the time of one batch, for ``seconds``, while one
    client asks for ``bulk`` samples again and again; then ``counted`` more one by one, for which the server's batches
    are counted. ``method`` None is the server's default."""

    seconds: float = 60.0
    per_batch: float = 0.2
    bulk: int = 100_000
    counted: int = 100
    method: str | None = None
    seed: int = 0


async def measure(target: Target, settings: Settings) -> Report:
    """Latencies idle and under load. Raises MeasurementFailed, ServerFailed."""
    async with under_test(target) as (server, client):
        able = abilities(server)
        single = Ask(sample_target(1, method=settings.method), keep=True)
        await capacity(client, sample_target(256, method="prior", format="npz"), 256, 2, WARM_UP_SECONDS)
        rate = settings.per_batch / batch_seconds(scrape(server))
        rng = np.random.default_rng(settings.seed)
        arrivals = [(at, single) for at in poisson(rate, settings.seconds, rng)]
        idle = await open_loop(client, arrivals[: max(1, len(arrivals) // 4)])
        before = scrape(server)
        bulk = asyncio.create_task(_saturate(client, settings, able.first_format("npy", "npz")))
        await _until_queued(server, bulk)
        loaded = await open_loop(client, arrivals)
        batch = batch_seconds(scrape(server).since(before))
        passed = [await _batches_passed(server, client, single) for _ in range(settings.counted)]
        n = await _stop(bulk)
        require_answers(idle)
        require_answers(loaded)
        report = Report(f"fairness: {able.model}, n = 1 under n = {n}, {target.threads} threads")
        report.lines += [
            f"{rate:.1f} single samples a second for {settings.seconds:.0f} s; one batch takes {1e3 * batch:.1f} ms.",
            str(await client_ceiling()),
        ]
        _tell(report, idle, loaded, batch)
        _tell_counted(report, passed)
        report.facts |= {"settings": asdict(settings), "rate": rate, "bulk": n, "batch_seconds": batch}
        page = settled(server)
        report.goal(f"decoded = delivered + waste + waiting: {books(page)}", books(page).balance, law=True)
    return report


def _tell(report: Report, idle: Run, loaded: Run, batch: float) -> None:
    table = []
    for name, run in (("idle", idle), ("under bulk", loaded)):
        latencies = [outcome.latency for outcome in run.outcomes]
        values = [quantile(latencies, q) for q in QUANTILES]
        table.append((name, *map(milliseconds, values), milliseconds(max(latencies)), str(len(latencies))))
        table.append((f"{name}, in batch times", *(_batches(v, batch) for v in (*values, max(latencies))), ""))
        report.facts[name] = {"latencies": latencies, "lags": [outcome.lag for outcome in run.outcomes]}
    headings = ("n = 1", "p50 ms", "p90", "p99", "p99.9", "worst", "requests")
    report.tables += [markdown_table(headings, table), where_time_went(loaded.outcomes)]
    lag = quantile([outcome.lag for outcome in loaded.outcomes], 0.99)
    report.lines.append(f"The client was late by {milliseconds(lag)} ms at p99, which counts as latency.")
    latencies = sorted(outcome.latency for outcome in loaded.outcomes)
    p99 = float(np.quantile(latencies, 0.99, method="inverted_cdf"))
    limit = GOAL_BATCHES * batch + GOAL_SECONDS
    report.goal(
        f"p99 under load {1e3 * p99:.1f} ms, at most three batches and 5 ms: {1e3 * limit:.1f} ms", p99 <= limit
    )


async def _batches_passed(server: Server, client: Client, single: Ask) -> int:
    """Batches that ended between just before a request and just after its answer; a slow machine changes nothing."""
    before = scrape(server).total("winnow_batch_rows_count")
    answer = await client.ask(single)
    if not answer.ok:
        raise MeasurementFailed(f"{single.target} was answered {answer.status}, {answer.error}")
    return round(scrape(server).total("winnow_batch_rows_count") - before)


def _tell_counted(report: Report, passed: list[int]) -> None:
    if not passed:
        return
    p50, p99 = (int(np.quantile(passed, q, method="inverted_cdf")) for q in (0.5, 0.99))
    report.lines.append(
        f"Batches that ended while one request waited, its two scrapes of /metrics included: {p50} at p50, {p99} at "
        f"p99, {max(passed)} at most, of {len(passed)} requests."
    )
    report.facts["batches_passed"] = passed


def _batches(seconds: float | None, batch: float) -> str:
    return "-" if seconds is None else f"{seconds / batch:.2f}"


async def _saturate(client: Client, settings: Settings, fmt: str) -> int:
    """Ask for bulk until cancelled; what is too much for one answer is halved. The size in use."""
    n = settings.bulk
    try:
        while True:
            answer = await client.ask(Ask(sample_target(n, method=settings.method, format=fmt), n))
            if answer.status == 422:
                n //= 2
            elif not answer.ok:
                raise MeasurementFailed(f"the bulk request was answered {answer.status}, {answer.error}")
    except asyncio.CancelledError:
        return n


async def _stop(bulk: asyncio.Task[int]) -> int:
    bulk.cancel()
    return await bulk


async def _until_queued(server: Server, bulk: asyncio.Task[int]) -> None:
    while scrape(server).total("winnow_queue_rows") == 0:
        if bulk.done():
            bulk.result()
        await asyncio.sleep(0.02)
