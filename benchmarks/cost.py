"""What each sampling method costs against the bare generator: milliseconds and network passes an image.

    python -m benchmarks.cost [--bundle bundles/fashion-mnist | --random-128] [--batch 64 1024] [--methods ...]

Each ratio comes from interleaved pairs in one process: decode n latents of the prior, then draw n samples with the
method and decode what it has not decoded itself. What a block of proposals accepts beyond n is kept for the next
pair, as a server does, so the ratio is the one of the steady state. Intervals are 97% Student over the pairs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import torch

from benchmarks.workloads import random_bundle
from models.bundle import Bundle, load_bundle
from sampling.draw import Cost
from sampling.methods import METHODS, bind
from sampling.sampler import BlockSizes, Sampler
from sampling.streams import BlockStream
from training.device import choose_device
from training.metrics.intervals import student_interval

PAIRS, WARM_UP = 20, 2
PUBLISHED = {"mnist": 1.6 / 0.7, "progan": 1.25, "stylegan2": 1.38}
"""latentRS over the bare generator in the papers (Issenhuth et al. 2022, table 6, computed there, not measured)."""


class Supply:
    """Samples of one method in order, decoded; surplus of a block waits for the next call."""

    def __init__(self, bundle: Bundle, sampler: Sampler, device: torch.device) -> None:
        self.bundle, self.sampler, self.cost = bundle, sampler, Cost()
        self._stream = BlockStream(0, sampler.block, device)
        dim = bundle.prior.dim
        self._latents = torch.empty(0, dim, device=device)
        self._samples: torch.Tensor | None = None

    @torch.no_grad()
    def take(self, n: int) -> torch.Tensor:
        """The next ``n`` samples."""
        while len(self._latents) < n:
            block = self.sampler.propose(self._stream)
            self.cost += block.cost
            self._latents = torch.cat([self._latents, block.latents])
            if block.samples is not None:
                kept = block.samples if self._samples is None else torch.cat([self._samples, block.samples])
                self._samples = kept
        latents, self._latents = self._latents[:n], self._latents[n:]
        if self._samples is None:
            samples: torch.Tensor = self.bundle.generator(latents)
            return samples
        samples, self._samples = self._samples[:n], self._samples[n:]
        return samples


def measure(bundle: Bundle, method: str, batch: int, sizes: BlockSizes, pairs: int, device: torch.device) -> Any:
    """One row of the table: seconds of both sides over ``pairs`` interleaved pairs, the ratio and its interval."""
    supply = Supply(bundle, bind(bundle, method, sizes=sizes), device)
    stream = BlockStream(1, batch, device)

    @torch.no_grad()
    def bare() -> None:
        bundle.generator(bundle.prior.draw(stream.next()).to(device))

    for _ in range(WARM_UP):
        bare()
        supply.take(batch)
    before = supply.cost
    times = [(_seconds(bare, device), _seconds(lambda: supply.take(batch), device)) for _ in range(pairs)]
    spent = {f.name: getattr(supply.cost, f.name) - getattr(before, f.name) for f in fields(Cost)}
    base = fmean(first for first, _ in times)
    ratio = student_interval([second / base for _, second in times])
    difference = student_interval([second / base - first / base for first, second in times])
    images = batch * pairs
    decoded = spent["generator_rows"] / images or 1.0
    return {
        "method": method,
        "batch": batch,
        "block": supply.sampler.block,
        "pairs": pairs,
        "bare_ms": 1e3 * base / batch,
        "method_ms": 1e3 * base / batch * ratio.mean,
        "ratio": ratio.mean,
        "paired_half_width": difference.half_width,
        "acceptance": spent["accepted"] / spent["proposals"] if spent["proposals"] else 1.0,
        "generator_passes": decoded,
        "critic_passes": spent["critic_rows"] / images,
        "importance_passes": spent["importance_rows"] / images,
        "gradient_steps": spent["gradient_steps"] / images,
    }


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - started


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, one line a row."""
    lines = [
        "| method | batch | ms an image | ratio to bare | 97% interval | accepted | generator | critic | w | grad. |",
        "| --- |" + " --- |" * 9,
    ]
    for r in rows:
        passes = " | ".join(
            f"{r[k]:.2f}" for k in ("generator_passes", "critic_passes", "importance_passes", "gradient_steps")
        )
        lines.append(
            f"| {r['method']} | {r['batch']} | {r['method_ms']:.3f} | {r['ratio']:.3f} | ±{r['paired_half_width']:.3f} "
            f"| {r['acceptance']:.3f} | {passes} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/fashion-mnist"))
    parser.add_argument("--random-128", action="store_true", help="a 128x128x3 generator with random weights instead")
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS))
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--block", type=int, default=BlockSizes.latents, help="proposals of a block of latents")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="the rows as JSON, too")
    args = parser.parse_args()
    device = choose_device(args.device, args.threads)
    bundle = random_bundle(device) if args.random_128 else load_bundle(args.bundle, device)
    sizes = BlockSizes(latents=args.block)
    chosen = args.methods or [name for name, method in METHODS.items() if not method.missing(bundle)]
    rows = [measure(bundle, name, batch, sizes, args.pairs, device) for batch in args.batch for name in chosen]
    print(f"{bundle.name} on {device}, {torch.get_num_threads()} threads, {args.pairs} interleaved pairs a row")
    print(f"bare generator: {fmean(r['bare_ms'] for r in rows):.3f} ms an image\n\n{table(rows)}")
    print("\nlatentRS in the papers: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in PUBLISHED.items()))
    if args.json:
        facts = {"bundle": bundle.name, "digest": bundle.digest, "device": str(device), "sizes": asdict(sizes)}
        args.json.write_text(json.dumps({**facts, "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
