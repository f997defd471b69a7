"""What metrics cost: their share of the server's CPU time, and how long /metrics takes under full load.

python -m benchmarks.metrics --bundle bundles/gaussians-25 --pairs 30

One engine under the whole application (without sockets, which would only dilute the difference), now with its metrics
and now with metrics that only count their calls. ``small`` are requests for one point each,
64 at a time: the most events a sample. ``large`` is one request for many. Two answers:
side by side, rounds of both in random order, samples per CPU second (all threads) as a ratio by pair, its mean
with a 97% Student interval of the logarithms; and by counting, calls in a round times the time of the dearest
kind of call, over the CPU time of the round: sharper where other processes share the machine.

/metrics: a real server over a socket, clients that keep its queue full, one scrape after another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import mean, quantiles, stdev
from time import perf_counter, process_time
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client.metrics import MetricWrapperBase
from scipy.stats import t as student

from service.engine.engine import Engine
from service.engine.options import EngineOptions
from service.http.app import create_app
from service.metrics.registry import Metrics
from service.settings import Settings

LEVEL = 0.97
SMALL_REQUESTS, AT_ONCE = 128, 64
LARGE_ROWS = 2_000
CLIENTS = 2
CALLS = 100_000
WARM_UP = 2
WORKLOADS = ("small", "large")


class Nothing:
    """A metric that does nothing but count how often it was asked to; one count for all."""

    calls = 0

    def labels(self, *values: str) -> Nothing:
        return self

    def inc(self, amount: float = 1) -> None:
        Nothing.calls += 1

    dec = set = observe = inc


def collectors(metrics: Metrics) -> dict[str, Any]:
    """Its metrics by attribute."""
    return {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}


async def ask(app: FastAPI, query: str) -> None:
    """One request through the whole application. Raises RuntimeError unless it is answered with 200."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        if statuses == [] and not asked:
            asked.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asked: list[bool] = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/sample",
        "raw_path": b"/sample", "query_string": query.encode(), "headers": [], "scheme": "http",
        "server": ("benchmark", 80), "client": ("benchmark", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    if statuses != [200]:
        raise RuntimeError(f"{query} was answered with {statuses}")


async def small(app: FastAPI) -> None:
    for _ in range(SMALL_REQUESTS // AT_ONCE):
        await asyncio.gather(*(ask(app, "n=1&format=npz") for _ in range(AT_ONCE)))


async def large(app: FastAPI) -> None:
    await ask(app, f"n={LARGE_ROWS}&format=npz")


@dataclass(frozen=True)
class Cost:
    """``ratios``: throughput with metrics over throughput without, one a pair; ``share``: of CPU time, by counting."""

    ratios: list[float]
    share: float


def cost(bundle: Path, pairs: int, load: Callable[[FastAPI], Coroutine[Any, Any, None]]) -> Cost:
    """One engine does all rounds: two of them, equal in every word, have differed by a fifth in CPU time."""
    metrics = Metrics()
    engine = Engine(bundle, None, EngineOptions(threads=1), metrics)
    engine.start()
    app, real = create_app(engine, Settings()), collectors(metrics)
    kinds = {"with": real, "without": dict.fromkeys(real, Nothing())}
    order = random.Random(0)
    with asyncio.Runner() as runner:

        def seconds(kind: str) -> float:
            vars(metrics).update(kinds[kind])
            started = process_time()
            runner.run(load(app))
            return process_time() - started

        for _ in range(WARM_UP):
            seconds("without")
        Nothing.calls = 0
        took = [{kind: seconds(kind) for kind in order.sample(list(kinds), 2)} for _ in range(pairs)]
    engine.close(60)
    spent = Nothing.calls * dearest_call() / sum(pair["without"] for pair in took)
    return Cost([pair["without"] / pair["with"] for pair in took], spent)


def dearest_call() -> float:
    """CPU seconds of one observation of a histogram with the most labels and buckets."""
    histogram = Metrics().http_seconds
    started = process_time()
    for _ in range(CALLS):
        histogram.labels("POST", "/sample", "200").observe(0.01)
    return (process_time() - started) / CALLS


@contextmanager
def server(bundle: Path) -> Iterator[str]:
    """The address of a real server over ``bundle``, on a free port."""
    command = [
        sys.executable,
        "-m",
        "winnow",
        "serve",
        "--bundles",
        str(bundle),
        "--bind",
        "127.0.0.1:0",
        "--log",
        "json",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            lines = (json.loads(line) for line in process.stderr)
            url = next(line["url"] for line in lines if line["event"] == "listening")
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield url
        finally:
            process.terminate()


def scrape_seconds(bundle: Path, scrapes: int) -> list[float]:
    """How long /metrics takes while ``CLIENTS`` threads keep the server busy with small and large requests."""
    done = threading.Event()

    def press(url: str, query: str) -> None:
        with httpx.Client(base_url=url, timeout=120) as client:
            while not done.is_set():
                client.post(f"/sample?{query}").raise_for_status()

    with server(bundle) as url, httpx.Client(base_url=url, timeout=120) as scraper:
        queries = ["n=1&format=npz", f"n={LARGE_ROWS}&format=npz"]
        threads = [threading.Thread(target=press, args=(url, queries[i % 2])) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        took = []
        try:
            for _ in range(scrapes + 1):
                started = perf_counter()
                scraper.get("/metrics").raise_for_status()
                took.append(perf_counter() - started)
        finally:
            done.set()
            for thread in threads:
                thread.join()
    return took[1:]  # the first one opens the connection


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Geometric mean and its Student interval."""
    logs = [log(ratio) for ratio in ratios]
    half = float(student.ppf((1 + LEVEL) / 2, len(logs) - 1)) * stdev(logs) / len(logs) ** 0.5
    return exp(mean(logs)), exp(mean(logs) - half), exp(mean(logs) + half)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/gaussians-25"))
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--scrapes", type=int, default=200)
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, load in zip(WORKLOADS, (small, large), strict=True):
        found = cost(args.bundle, args.pairs, load)
        middle, low, high = interval(found.ratios)
        print(f"throughput with metrics / without, {name}: {middle:.4f} [{low:.4f}, {high:.4f}], {args.pairs} pairs")
        print(f"CPU time of metrics by counting, {name}: {100 * found.share:.2f}%")
    took = scrape_seconds(args.bundle, args.scrapes)
    cuts = quantiles(took, n=100)
    print(f"/metrics under load, ms: median {1e3 * cuts[49]:.1f}, p95 {1e3 * cuts[94]:.1f}, {args.scrapes} scrapes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
