"""What one call without Python's lock is worth: batches decoded in a trace over those decoded operation by operation.

    python -m benchmarks.onecall [--bundle bundles/fashion-mnist | --random random-128] [--threads 1] [--pairs 20]
        [--compile]

Alone, and beside a thread that keeps Python busy as an event loop under load does; windows in turn, each way in a
process of its own, which may differ by luck: some give their memory back to the system after each batch and fetch it
again, a thousand pages, a fifth of their rate. Pages are in the last column; compare processes that have few.
``--compile``: torch.compile too, which needs a C++ compiler here; whether it gives the same bytes is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean
from time import perf_counter, sleep
from typing import NamedTuple

import torch

from benchmarks.serving.estimates import ratio_interval
from benchmarks.workloads import SIZES, random_bundle
from models.bundle import Bundle, load_bundle
from service.engine.decoding import rows_of
from service.engine.onecall import Decode, Whole, as_it_is, traced
from service.engine.rows import Pixels
from service.engine.sizing import rows_for
from service.engine.warmup import probe_latents

WINDOW_SECONDS = 1.0
SLICE = 1_000  # additions between two moments in which the busy thread lets go of the lock by itself


def compiled(bundle: Bundle, probe: torch.Tensor) -> Decode:
    """``decode`` of ``bundle`` by torch.compile for batches of ``probe``'s shape."""
    module = torch.compile(Whole(bundle).eval(), fullgraph=True, dynamic=False)

    def run(latents: torch.Tensor) -> Pixels:
        with torch.inference_mode():
            found = module(latents)
        return rows_of(*found)

    run(probe)
    return run


WAYS: dict[str, Callable[[Bundle, torch.Tensor], Decode]] = {
    "as it is": as_it_is,
    "one call": traced,
    "compiled": compiled,
}


class Window(NamedTuple):
    """``pages``: of memory that the kernel had to find for a batch."""

    batches_per_second: float
    pages: float


@dataclass(frozen=True)
class Worker:
    """A process that decodes in one way."""

    way: str
    digest: str
    _orders: Connection

    def window(self, seconds: float, crowded: bool) -> Window:
        """``crowded``: beside a busy thread."""
        self._orders.send((seconds, crowded))
        found = self._orders.recv()
        assert isinstance(found, Window)
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/fashion-mnist"))
    parser.add_argument("--random", choices=SIZES, help="a generator of this size with random weights instead")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=WINDOW_SECONDS, help="of a window")
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    args = parser.parse_args()
    ways = [way for way in WAYS if args.compile or way != "compiled"]
    bundle = bundle_of(chosen := args.random or args.bundle)
    print(f"{bundle.name}, batches of {rows_for(bundle, None)}, {args.threads} threads, torch {torch.__version__}")
    with ExitStack() as running:
        workers = [running.enter_context(worker(way, chosen, args.threads)) for way in ways]
        for other in workers[1:]:
            same = other.digest == workers[0].digest
            print(f"{other.way}: {'the same' if same else 'other'} bytes as the generator's own")
        print(f"| beside | way | batches/s | / as it is | / the way before | pages a batch |\n|{' --- |' * 6}")
        for beside, crowded in (("nothing", False), ("a busy thread", True)):
            for line in compare(workers, args.pairs, args.seconds, crowded):
                print(f"| {beside} | {line} |")
    return 0


def bundle_of(chosen: str | Path) -> Bundle:
    """One of random weights by its name, or of a folder."""
    return random_bundle(chosen) if isinstance(chosen, str) else load_bundle(chosen)


def compare(workers: Sequence[Worker], pairs: int, seconds: float, crowded: bool) -> list[str]:
    """Of each worker its mean rate, the geometric mean ratios to the first's and to that of the one before it with
    their 97% intervals, and its pages."""
    found = [[worker.window(seconds, crowded) for worker in workers] for _ in range(pairs)]
    rates = [[window.batches_per_second for window in windows] for windows in zip(*found, strict=True)]
    lines = []
    for at, worker in enumerate(workers):
        ratios = [str(ratio_interval(rates[at], rates[other])) if at else "1" for other in (0, at - 1)]
        pages = fmean(windows[at].pages for windows in found)
        lines.append(" | ".join([worker.way, f"{fmean(rates[at]):.1f}", *ratios, f"{pages:.0f}"]))
    return lines


@contextmanager
def worker(way: str, chosen: str | Path, threads: int) -> Iterator[Worker]:
    """Raises EOFError where its process ends before it is ready (it has said why)."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(there, way, chosen, threads), daemon=True)
    process.start()
    there.close()
    try:
        yield Worker(way, here.recv(), here)
    finally:
        here.close()
        process.join()


def work(orders: Connection, way: str, chosen: str | Path, threads: int) -> None:
    """In the worker's process: the digest of one batch, then a window for each order, until nobody listens."""
    torch.set_num_threads(threads)
    bundle = bundle_of(chosen)
    latents = probe_latents(bundle, rows_for(bundle, None))
    decode = WAYS[way](bundle, latents)
    orders.send(hashlib.sha256(decode(latents).tobytes()).hexdigest())
    while True:
        try:
            seconds, crowded = orders.recv()
        except EOFError:
            return
        with busy() if crowded else nullcontext():
            decode(latents)
            orders.send(window(lambda: decode(latents), seconds))


def window(batch: Callable[[], object], seconds: float) -> Window:
    """One ``batch`` after the other."""
    batches, pages, started = 0, _pages(), perf_counter()
    while (passed := perf_counter() - started) < seconds:
        batch()
        batches += 1
    return Window(batches / passed, (_pages() - pages) / batches)


def _pages() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@contextmanager
def busy() -> Iterator[None]:
    """A thread that keeps Python's lock as long as it may."""
    done = threading.Event()

    def add() -> None:
        total = 0
        while not done.is_set():
            for number in range(SLICE):
                total += number
            sleep(0)

    thread = threading.Thread(target=add, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    raise SystemExit(main())
