"""Seeded answers under random concurrent schedules, in prefixes, at offsets, and from another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.abilities import Abilities, abilities, sample_target
from benchmarks.serving.client import Ask, Client
from benchmarks.serving.load import Run, open_loop
from benchmarks.serving.processes import Target
from benchmarks.serving.report import Report
from benchmarks.serving.windows import MeasurementFailed, under_test

METHODS = ("prior", "latentrs", "latentga", "latentrsga")
FORMATS = ("npz", "png", "json", "npy", "zip", "ndjson", "safetensors", "webp", "jpeg")
LONG, SHORT, OFFSET = 64, 10, 17


@dataclass(frozen=True)
class Settings:
    """``times`` schedules of 2 to ``together`` requests that arrive within ``spread`` seconds; every third request is
    unseeded noise of up to ``noise`` samples. ``methods`` None: those of ``METHODS`` that the model can do."""

    times: int = 1_000
    together: int = 8
    spread: float = 0.05
    noise: int = 200
    sizes: tuple[int, ...] = (1, 10, 33, 64)
    seeds: int = 3
    methods: tuple[str, ...] | None = None
    seed: int = 0


async def measure(target: Target, settings: Settings) -> Report:
    """Every law, with how often it was tried. Raises MeasurementFailed, ServerFailed."""
    async with under_test(target) as (server, client):
        able = abilities(server)
        asks = catalogue(settings, able)
        alone = {ask: await _alone(client, ask) for ask in asks}
        report = Report(f"seeds: {able.model}, {settings.times} schedules over {len(asks)} seeded requests")
        report.facts |= {"settings": asdict(settings), "requests": [ask.target for ask in asks]}
        await _schedules(report, client, settings, alone)
        await _stream_laws(report, client, settings, able)
    if target.url is None:
        await _other_process(report, target, able, alone)
    return report


def catalogue(settings: Settings, able: Abilities) -> list[Ask]:
    """The seeded requests: every method, size and seed as npz, and every format once."""
    methods = settings.methods or tuple(method for method in METHODS if method in able.methods)
    targets = [
        sample_target(n, method=method, seed=seed, format="npz")
        for method in methods
        for n in settings.sizes
        for seed in range(settings.seeds)
    ]
    targets += [sample_target(5, method=methods[0], seed=1, format=fmt) for fmt in FORMATS if fmt in able.formats]
    return [Ask(target, keep=True) for target in targets]


async def _alone(client: Client, ask: Ask) -> str:
    answer = await client.ask(ask)
    if not answer.ok or answer.body is None:
        raise MeasurementFailed(f"{ask.target} was answered {answer.status}, {answer.error}: {answer.body!r:.300}")
    return sha256(answer.body).hexdigest()


async def _schedules(report: Report, client: Client, settings: Settings, alone: Mapping[Ask, str]) -> None:
    rng, asks = np.random.default_rng(settings.seed), list(alone)
    compared, different, unanswered = 0, set(), 0
    for _ in range(settings.times):
        arrivals: list[tuple[float, Ask]] = []
        for _ in range(int(rng.integers(2, settings.together + 1))):
            at = float(rng.uniform(0, settings.spread))
            if rng.uniform() < 1 / 3:
                n = int(rng.integers(1, settings.noise + 1))
                arrivals.append((at, Ask(sample_target(n, format="npz"), n, "noise")))
            else:
                arrivals.append((at, asks[int(rng.integers(len(asks)))]))
        run = await open_loop(client, arrivals)
        seeded = [o for o in run.outcomes if o.ask.kind != "noise"]
        answered = [o for o in seeded if o.answer.ok and o.answer.body is not None]
        unanswered += _failed(run)
        compared += len(answered)
        different |= {o.ask.target for o in answered if sha256(o.answer.body or b"").hexdigest() != alone[o.ask]}
    report.facts["schedules"] = {"compared": compared, "different": sorted(different), "unanswered": unanswered}
    told = f"; different: {', '.join(sorted(different)[:5])}" if different else ""
    report.goal(f"{compared} seeded answers in company equal those obtained alone{told}", not different, law=True)
    report.goal(f"every request of every schedule is answered: {unanswered} were not", not unanswered, law=True)


def _failed(run: Run) -> int:
    return sum(not outcome.answer.ok for outcome in run.outcomes)


async def _stream_laws(report: Report, client: Client, settings: Settings, able: Abilities) -> None:
    """n = 10 begins n = 64; rows from an offset on are the same rows."""
    methods = settings.methods or tuple(method for method in METHODS if method in able.methods)
    short_wrong, offset_wrong = [], []
    for method in methods:
        for seed in range(settings.seeds):
            query = {"method": method, "seed": seed, "format": "npz"}
            long, short = [await _arrays(client, n, **query) for n in (LONG, SHORT)]
            if not _equal(short, {name: rows[:SHORT] for name, rows in long.items()}):
                short_wrong.append(f"{method} seed {seed}")
            if "offset" in able.parameters:
                later = await _arrays(client, SHORT, offset=OFFSET, **query)
                if not _equal(later, {name: rows[OFFSET : OFFSET + SHORT] for name, rows in long.items()}):
                    offset_wrong.append(f"{method} seed {seed}")
    tried = len(methods) * settings.seeds
    report.goal(
        f"n = {SHORT} begins n = {LONG}, {tried} times; not: {short_wrong or 'none'}", not short_wrong, law=True
    )
    if "offset" in able.parameters:
        sentence = f"offset = {OFFSET} gives the rows from there on, {tried} times; not: {offset_wrong or 'none'}"
        report.goal(sentence, not offset_wrong, law=True)
    else:
        report.lines.append("offset: the server does not know it.")


async def _arrays(client: Client, n: int, **query: object) -> dict[str, NDArray[np.generic]]:
    answer = await client.ask(Ask(sample_target(n, **query), n, keep=True))
    if not answer.ok or answer.body is None:
        raise MeasurementFailed(f"{query} was answered {answer.status}, {answer.error}: {answer.body!r:.300}")
    with np.load(BytesIO(answer.body), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _equal(first: Mapping[str, NDArray[np.generic]], second: Mapping[str, NDArray[np.generic]]) -> bool:
    return first.keys() == second.keys() and all(
        first[name].shape == second[name].shape and first[name].tobytes() == second[name].tobytes() for name in first
    )


async def _other_process(report: Report, target: Target, able: Abilities, alone: Mapping[Ask, str]) -> None:
    async with under_test(target) as (server, client):
        other = abilities(server)
        report.goal(
            f"another process has the same fingerprint: {able.fingerprint} and {other.fingerprint}",
            able.fingerprint == other.fingerprint,
            law=True,
        )
        different: Sequence[str] = [ask.target for ask, digest in alone.items() if await _alone(client, ask) != digest]
    report.goal(
        f"another process gives the same {len(alone)} answers; not: {different or 'none'}", not different, law=True
    )
