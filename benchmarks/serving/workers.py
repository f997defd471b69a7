"""What the server is compared with, in processes of their own: a bare decode loop, and the engine called in process.

Started by ``processes.Worker``: an order is a line of JSON on stdin, its result one on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch

from models.bundle import Bundle, load_bundle
from models.pixels import to_uint8

Order = Callable[[dict[str, Any]], Any]
WARM_UP = 2


def bare_loop(bundle: Bundle, batch: int) -> Order:
    """The ceiling: latents of the prior, one generator call, the bytes of its images. Orders: ``{"seconds": s}``."""

    @torch.inference_mode()
    def decode() -> None:
        latents = torch.randn(batch, bundle.prior.dim)
        samples = bundle.generator(latents)
        if (limits := bundle.manifest.output.range) is None:
            samples.numpy().tobytes()
        else:
            to_uint8(samples, *limits).permute(0, 2, 3, 1).contiguous().numpy().tobytes()

    def order(wanted: dict[str, Any]) -> dict[str, float]:
        started, cpu, images = perf_counter(), process_time(), 0
        while perf_counter() - started < wanted["seconds"]:
            decode()
            images += batch
        return {"images": images, "seconds": perf_counter() - started, "cpu": process_time() - cpu}

    for _ in range(WARM_UP):
        decode()
    return order


def engine_calls(folder: Path, threads: int) -> Order:
    """Engine.submit(...).result(), no HTTP. Orders: ``{"calls": k, "n": 1, "method": ...}``."""
    from service.engine.rows import SampleRequest
    from service.http.server import build_engine
    from service.metrics.registry import Metrics
    from service.settings import load_settings

    engine = build_engine(load_settings({"bundles": folder, "engine": {"threads": threads}}, {}), Metrics())
    engine.start()

    def order(wanted: dict[str, Any]) -> dict[str, Any]:
        seconds, cpu = [], process_time()
        for _ in range(wanted["calls"]):
            started = perf_counter()
            engine.submit(SampleRequest(wanted["n"], method=wanted["method"])).result()
            seconds.append(perf_counter() - started)
        return {"seconds": seconds, "cpu": process_time() - cpu}

    return order


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("bare", "calls"))
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--random-128", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as scratch:
        folder: Path = args.bundle
        if args.random_128:
            from benchmarks.workloads import make_known, write_random_bundle

            make_known()
            folder = write_random_bundle(Path(scratch))
        order = (
            bare_loop(load_bundle(folder), args.batch) if args.kind == "bare" else engine_calls(folder, args.threads)
        )
        for line in sys.stdin:
            print(json.dumps(order(json.loads(line))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
