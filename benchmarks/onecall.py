"""What one call without Python's lock is worth: batches decoded in a trace over those decoded operation by operation.

    python -m benchmarks.onecall [--bundle bundles/fashion-mnist] [--threads 1] [--pairs 20] [--compile]

Alone, and beside a thread that keeps Python busy as an event loop under load does; interleaved pairs of windows.
``--compile``: torch.compile in the trace's place, which needs a C++ compiler here; whether it gives the same bytes is
printed.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
import torch

from benchmarks.serving.estimates import ratio_interval
from models.bundle import Bundle, load_bundle
from service.engine.decoding import rows_of
from service.engine.onecall import Decode, Whole, as_it_is, one_call
from service.engine.rows import Pixels
from service.engine.sizing import rows_for
from service.engine.warmup import probe_latents

WINDOW_SECONDS = 1.0
SLICE = 1_000  # additions between two moments in which the busy thread lets go of the lock by itself


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/fashion-mnist"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=WINDOW_SECONDS, help="of a window")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile instead of the trace")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    bundle = load_bundle(args.bundle)
    latents = probe_latents(bundle, rows_for(bundle, None))
    ways = as_it_is(bundle, latents), (compiled if args.compile else one_call)(bundle, latents)
    print(f"{bundle.name}, batches of {len(latents)}, {args.threads} threads, torch {torch.__version__}")
    if args.compile:
        same = np.array_equal(ways[0](latents), ways[1](latents))
        print(f"compiled: {'the same bytes' if same else 'other bytes'} as the generator's own")
    title = "compiled" if args.compile else "one call"
    print(f"| beside | as it is, batches/s | {title} / as it is |\n| --- | --- | --- |")
    print(f"| nothing | {compare(ways, latents, args.pairs, args.seconds)} |")
    with busy():
        print(f"| a busy thread | {compare(ways, latents, args.pairs, args.seconds)} |")
    return 0


def compiled(bundle: Bundle, probe: torch.Tensor) -> Decode:
    """``decode`` of ``bundle`` by torch.compile for batches of ``probe``'s shape."""
    module = torch.compile(Whole(bundle).eval(), fullgraph=True, dynamic=False)

    def run(latents: torch.Tensor) -> Pixels:
        with torch.inference_mode():
            found = module(latents)
        return rows_of(*found)

    run(probe)
    return run


def compare(ways: tuple[Decode, Decode], latents: torch.Tensor, pairs: int, seconds: float) -> str:
    """Mean rate of the first, and the geometric mean ratio of the second to it with its 97% interval."""
    for way in ways:
        way(latents)
    rates = [[rate(way, latents, seconds) for way in ways] for _ in range(pairs)]
    first, second = zip(*rates, strict=True)
    return f"{sum(first) / pairs:.1f} | {ratio_interval(second, first)}"


def rate(way: Decode, latents: torch.Tensor, seconds: float) -> float:
    """Batches a second."""
    batches, started = 0, perf_counter()
    while perf_counter() - started < seconds:
        way(latents)
        batches += 1
    return batches / (perf_counter() - started)


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
