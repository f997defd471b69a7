"""Bulk throughput against a bare decode loop, latentRS against the prior, and what HTTP adds to a single sample."""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass
from time import perf_counter

from benchmarks.serving.abilities import Abilities, abilities, sample_target
from benchmarks.serving.client import Ask, Client, ask_blocking
from benchmarks.serving.estimates import bootstrap_difference, quantile
from benchmarks.serving.exposition import batch_rows, scrape
from benchmarks.serving.processes import Server, Target, Worker
from benchmarks.serving.report import Report, markdown_table, milliseconds
from benchmarks.serving.windows import (
    HEADINGS,
    MeasurementFailed,
    Side,
    bare,
    capacity,
    interleave,
    over_http,
    ratios,
    row,
    under_test,
)

BULK_GOAL, ZIP_GOAL, LATENTRS_GOAL, HTTP_SECONDS_GOAL = 0.95, 0.80, 0.90, 0.002
WARM_UP_SECONDS, WARM_UP_ROWS = 2.0, 256


@dataclass(frozen=True)
class Settings:
    """``pairs`` of windows of about ``seconds``, each of ``requests`` requests on ``connections``; then ``rounds``
    of ``calls`` single samples. ``batch``: rows of the bare loop's calls, None for the server's own mean."""

    pairs: int = 20
    seconds: float = 2.0
    requests: int = 4
    connections: int = 2
    rounds: int = 50
    calls: int = 10
    batch: int | None = None


async def measure(target: Target, settings: Settings) -> Report:
    """All rows of the table. Raises MeasurementFailed, ServerFailed."""
    async with under_test(target) as (server, client):
        able = abilities(server)
        warm = sample_target(WARM_UP_ROWS, method="prior", format="npz")
        before = scrape(server)
        await capacity(client, warm, WARM_UP_ROWS, settings.connections, WARM_UP_SECONDS)
        rows = settings.batch or round(batch_rows(scrape(server).since(before)))
        rate = (await capacity(client, warm, WARM_UP_ROWS, settings.connections, WARM_UP_SECONDS)).rate
        share = rate * settings.seconds / settings.requests
        n = max(1, round(share / rows)) * rows
        report = Report(f"throughput: {able.model}, {target.threads} threads, {rows} rows a batch, n = {n}")
        report.facts = {"settings": asdict(settings), "batch_rows": rows, "n": n, "fingerprint": able.fingerprint}
        with Worker("bare", target.bundle, target.threads, "--batch", str(rows)) as worker:
            await _bulk(report, settings, able, client, server, worker, n)
        _single(report, settings, able, target, server)
    return report


async def _bulk(
    report: Report, settings: Settings, able: Abilities, client: Client, server: Server, worker: Worker, n: int
) -> None:
    def side(**query: str) -> Side:
        ask = Ask(sample_target(n, **query), n)
        return over_http(client, server, ask, settings.requests, settings.connections)

    loop = bare(worker, server, settings.seconds)
    prior = {"method": "prior", "format": "npz"}
    cases: list[tuple[str, Side, Side, float | None]] = [("npz over bare loop", side(**prior), loop, BULK_GOAL)]
    if "npy" in able.formats:
        cases.append(("npy over bare loop", side(method="prior", format="npy"), loop, BULK_GOAL))
    if "zip" in able.formats:
        cases.append(("zip of PNG over bare loop", side(method="prior", format="zip"), loop, ZIP_GOAL))
    else:
        report.lines.append("zip: not served.")
    if "latentrs" in able.methods:
        cases.append(("latentrs over prior", side(method="latentrs", format="npz"), side(**prior), LATENTRS_GOAL))
    table = []
    for name, first, second, goal in cases:
        await first()
        pairs = await interleave(first, second, settings.pairs)
        speed, cpu = ratios(pairs)
        table.append(row(name, pairs, speed, cpu))
        report.facts[name] = {"speed": speed, "cpu": cpu, "pairs": [[asdict(w) for w in pair] for pair in pairs]}
        if goal is not None:
            report.goal(
                f"{name} at least {goal}: {speed} in images a second, {cpu or '-'} in CPU time", speed.value >= goal
            )
    report.tables.append(markdown_table(HEADINGS, table))


def _single(report: Report, settings: Settings, able: Abilities, target: Target, server: Server) -> None:
    """Single samples over HTTP against calls of an engine in a process of its own, in turn."""
    method = "latentrs" if "latentrs" in able.methods else "prior"
    ask = Ask(sample_target(1, method=method))
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    cpu = [0.0, 0.0]
    with Worker("calls", target.bundle, target.threads) as worker:
        for number in range(settings.rounds + 1):
            spent = server.cpu_seconds()
            with socket.create_connection((server.host, server.port), timeout=60) as handle:
                handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                seconds = [_seconds(handle, ask, server.host) for _ in range(settings.calls)]
            spent = server.cpu_seconds() - spent
            with server.paused():
                calls = worker.do(calls=settings.calls, n=1, method=method)
            if number:  # the first round warms up
                ours.append(seconds)
                theirs.append(calls["seconds"])
                cpu = [cpu[0] + spent, cpu[1] + calls["cpu"]]
    added = bootstrap_difference(ours, theirs)
    flat = [[value for part in side for value in part] for side in (ours, theirs)]
    headings = (f"n = 1, {method}", "p50 ms", "p90", "p99", "CPU ms", "calls")
    sides = zip(("over HTTP (png)", "engine in process"), flat, cpu, strict=True)
    table = [
        (name, *(milliseconds(quantile(v, q)) for q in (0.5, 0.9, 0.99)), f"{1e3 * spent / len(v):.2f}", str(len(v)))
        for name, v, spent in sides
    ]
    report.tables.append(markdown_table(headings, table))
    told = f"{1e3 * added.value:.2f} ms [{1e3 * added.low:.2f}, {1e3 * added.high:.2f}]"
    report.lines.append(f"HTTP adds at p50 {told}, 97% bootstrap over {added.pairs} rounds of {settings.calls} calls.")
    report.facts["single"] = {"http_adds_seconds": added, "cpu_each": [spent / len(flat[0]) for spent in cpu]}
    report.goal(f"n = 1 over HTTP adds at most 2 ms at p50: {told}", added.value <= HTTP_SECONDS_GOAL)


def _seconds(handle: socket.socket, ask: Ask, host: str) -> float:
    started = perf_counter()
    parser = ask_blocking(handle, ask, host)
    if parser.status != 200:
        raise MeasurementFailed(f"{ask.target} was answered {parser.status}")
    return perf_counter() - started
