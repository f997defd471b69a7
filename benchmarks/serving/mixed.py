"""Small, middling and large requests together, open-loop, with clients that hang up and clients that read slowly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from benchmarks.serving.abilities import Abilities, abilities, sample_target
from benchmarks.serving.ceiling import client_ceiling
from benchmarks.serving.client import Ask
from benchmarks.serving.estimates import QUANTILES, quantile
from benchmarks.serving.exposition import Exposition, avoidable_waste, books, scrape, settled
from benchmarks.serving.load import Outcome, Run, open_loop, poisson
from benchmarks.serving.processes import Target
from benchmarks.serving.report import Report, markdown_table, milliseconds
from benchmarks.serving.windows import capacity, under_test

PROBE_ROWS, PROBE_CLIENTS = 64, 8


@dataclass(frozen=True)
class Kind:
    """A class of clients: ``n`` samples a request, its ``share`` of the offered images, and ``within`` how many
    seconds its answer is good."""

    n: int
    share: float
    within: float


KINDS = (Kind(1, 0.1, 0.1), Kind(64, 0.4, 1.0), Kind(10_000, 0.5, 60.0))


@dataclass(frozen=True)
class Settings:
    """``load``: offered images a second over the capacity that ``probe`` seconds of a closed loop find. A share
    ``hang_ups`` of all clients leaves after a time drawn uniformly up to what an idle server would take; a share
    ``slow`` of those that ask for more than one sample reads ``slow_rate`` bytes a second."""

    seconds: float = 60.0
    load: float = 0.7
    kinds: tuple[Kind, ...] = KINDS
    hang_ups: float = 0.1
    slow: float = 0.05
    slow_rate: float = 200_000.0
    probe: float = 5.0
    method: str | None = None
    seed: int = 0


async def measure(target: Target, settings: Settings) -> Report:
    """Percentiles by class, goodput, waste, bytes, and whether the books balance afterwards."""
    async with under_test(target) as (server, client):
        able = abilities(server)
        probe = sample_target(PROBE_ROWS, method=settings.method, format=able.first_format("npy", "npz"))
        await capacity(client, probe, PROBE_ROWS, PROBE_CLIENTS, settings.probe / 4)
        rate = (await capacity(client, probe, PROBE_ROWS, PROBE_CLIENTS, settings.probe)).rate
        arrivals = draw(settings, able, rate)
        before, cpu = scrape(server), server.cpu_seconds()
        run = await open_loop(client, arrivals)
        cpu = server.cpu_seconds() - cpu
        page = settled(server)
    report = Report(f"mixed: {able.model}, {settings.load:g} of capacity for {settings.seconds:.0f} s")
    report.lines.append(
        f"Capacity {rate:.0f} images/s. {settings.hang_ups:.0%} of the clients hang up, {settings.slow:.0%} of those "
        f"with n > 1 read {settings.slow_rate / 1e3:.0f} kB/s. Server CPU {cpu:.1f} s over {run.seconds:.1f} s."
    )
    report.lines.append(str(await client_ceiling()))
    report.facts |= {"settings": asdict(settings), "capacity": rate}
    _tell_kinds(report, run, settings)
    _tell_rows(report, page.since(before), run, settings)
    report.goal(f"decoded = delivered + waste + waiting: {books(page)}", books(page).balance, law=True)
    return report


def draw(settings: Settings, able: Abilities, rate: float) -> list[tuple[float, Ask]]:
    """All arrivals of the load, with who hangs up and who reads slowly, from the seed alone."""
    rng = np.random.default_rng(settings.seed)
    arrivals: list[tuple[float, Ask]] = []
    for kind in settings.kinds:
        fmt = None if kind.n == 1 else able.first_format("npy", "npz")
        plain = Ask(sample_target(kind.n, method=settings.method, format=fmt), kind.n, str(kind.n))
        requests = settings.load * rate * kind.share / kind.n
        for at in poisson(requests, settings.seconds, rng):
            leaves, slow, when = rng.uniform(size=3)
            ask = plain
            if leaves < settings.hang_ups:
                ask = replace(plain, kind=f"{kind.n} hung up", hang_up=float(when) * kind.n / rate)
            elif kind.n > 1 and slow < settings.slow:
                ask = replace(plain, kind=f"{kind.n} slow", read_rate=settings.slow_rate)
            arrivals.append((at, ask))
    return arrivals


def _tell_kinds(report: Report, run: Run, settings: Settings) -> None:
    rows = []
    for kind in settings.kinds:
        for name in (str(kind.n), f"{kind.n} slow"):
            ours = [o for o in run.outcomes if o.ask.kind == name]
            if ours:
                rows.append(_row(name, ours, kind, settings.seconds))
        gone = [o for o in run.outcomes if o.ask.kind == f"{kind.n} hung up"]
        early = sum(o.answer.hung_up for o in gone)
        if gone:
            rows.append((f"{kind.n} hung up", f"{len(gone)} ({early} before the end)", *["-"] * 7))
    headings = ("n", "requests", "p50 ms", "p90", "p99", "p99.9", "worst", "not 200", "good images/s (within)")
    report.tables.append(markdown_table(headings, rows))
    report.facts["latencies"] = {
        kind: [o.latency for o in run.outcomes if o.ask.kind == kind and o.answer.ok]
        for kind in sorted({o.ask.kind for o in run.outcomes})
    }
    strange = {f"{o.answer.status} {o.answer.error or ''}" for o in run.outcomes if _strange(o)}
    report.goal(f"only 200 and refusals; others: {sorted(strange) or 'none'}", not strange, law=True)


def _strange(outcome: Outcome) -> bool:
    answer = outcome.answer
    return not (answer.ok or answer.refused or answer.hung_up)


def _row(name: str, outcomes: Sequence[Outcome], kind: Kind, seconds: float) -> tuple[str, ...]:
    latencies = [o.latency for o in outcomes if o.answer.ok]
    cells = [milliseconds(quantile(latencies, q)) if latencies else "-" for q in QUANTILES]
    good = sum(o.ask.n for o in outcomes if o.answer.ok and o.latency <= kind.within) / seconds
    failed = sum(not o.answer.ok for o in outcomes)
    worst = milliseconds(max(latencies)) if latencies else "-"
    return (name, str(len(outcomes)), *cells, worst, str(failed), f"{good:.1f} ({kind.within:g} s)")


def _tell_rows(report: Report, spent: Exposition, run: Run, settings: Settings) -> None:
    waste = spent.by("winnow_rows_wasted_total", "reason")
    decoded, delivered = books(spent).decoded, books(spent).delivered
    received = sum(o.ask.n for o in run.outcomes if o.answer.ok)
    size = sum(o.answer.size for o in run.outcomes)
    told = ", ".join(f"{reason} {rows:.0f}" for reason, rows in sorted(waste.items())) or "nothing"
    report.lines.append(
        f"Rows: {decoded:.0f} decoded, {delivered:.0f} delivered, {received} in whole answers; wasted: {told} "
        f"(avoidable: {avoidable_waste(spent) / max(decoded, 1):.2%}). {size / 2**20:.1f} MiB of bodies, "
        f"{received / settings.seconds:.0f} images/s in whole answers."
    )
    report.facts["rows"] = {"decoded": decoded, "delivered": delivered, "received": received, "wasted": waste}
    report.facts["bytes"] = size
    report.goal(
        f"delivered rows cover what clients got: {delivered:.0f} >= {received}", delivered >= received, law=True
    )
