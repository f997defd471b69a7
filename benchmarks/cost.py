"""What each sampling method costs against the bare generator: milliseconds and network passes an image.

    python -m benchmarks.cost [--bundle bundles/fashion-mnist | --random-128 | --random progan-128] [--against prior]
                              [--batch 64 1024] [--methods ...] [--out docs/methods.md] [--keep FOLDER]

``--out`` replaces what stands in that page between the marker of this program and the end of the table.

Each ratio comes from interleaved pairs in one process: decode n latents of the prior, draw n samples with the method
and decode what it has not decoded itself; which comes first is drawn. What a block of proposals accepts beyond n is
kept for the next pair, as a server does, so the ratio is the one of the steady state. Intervals are 97% Student over
the pairs. With ``--against prior`` the other side of a pair is the method ``prior``, which reads w of what it returns:
its own row, prior against prior, is the null.
With one thread on a CPU the clock counts processor time: beside other work it shows what an idle machine would take.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from random import Random
from statistics import fmean
from time import perf_counter, process_time
from typing import Any, Literal, get_args

import torch

from benchmarks.workloads import SIZES, random_bundle
from models.bundle import Bundle, load_bundle
from sampling.draw import Cost
from sampling.methods import METHODS, bind
from sampling.sampler import BlockSizes, Sampler
from sampling.streams import BlockStream
from training.device import choose_device
from training.draws import Shelf
from training.metrics.intervals import student_interval
from training.pages import publish

PROGRAM = "benchmarks.cost"
PAIRS, LEAST_PAIRS, WARM_UP = 20, 5, 2
MOST_SECONDS = 300.0
"""For one row: slow methods at large batches get as few as LEAST_PAIRS pairs, and the table says how many."""
PUBLISHED = {"mnist": 1.6 / 0.7, "progan": 1.25, "stylegan2": 1.38}
"""latentRS over the bare generator in the papers (Issenhuth et al. 2022, table 6, computed there, not measured)."""


Base = Literal["bare", "prior"]
BASE_SEED, ORDER_SEED = 1, 0
PASSES = ("generator_passes", "critic_passes", "importance_passes", "gradient_steps")


class Supply:
    """Samples of one method in order, decoded; surplus of a block waits for the next call."""

    def __init__(self, bundle: Bundle, sampler: Sampler, seed: int = 0) -> None:
        self.bundle, self.sampler, self.cost = bundle, sampler, Cost()
        self._stream = BlockStream(seed, sampler.block, bundle.device)
        self._latents = torch.empty(0, bundle.prior.dim, device=bundle.device)
        self._samples: torch.Tensor | None = None

    @property
    def decodes(self) -> bool:
        """Whether the method's blocks come decoded."""
        return self._samples is not None

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


def measure(
    bundle: Bundle,
    method: str,
    batch: int,
    sizes: BlockSizes,
    pairs: int,
    settings: Mapping[str, Any] | None = None,
    most_seconds: float = MOST_SECONDS,
    against: Base = "bare",
) -> dict[str, Any]:
    """One row of the table: seconds of both sides over ``pairs`` interleaved pairs, the ratio and its interval."""
    parameters = METHODS[method].parameters(**(settings or {}))
    supply = Supply(bundle, bind(bundle, method, parameters, sizes))
    base, device = base_work(bundle, against, batch, sizes), bundle.device

    coin = Random(ORDER_SEED)  # drawn: every other pair would be in step with the blocks of proposals

    def pair() -> tuple[float, float]:
        """Seconds of base and method; the one or the other goes first."""
        sides = base, lambda: supply.take(batch)
        if coin.random() < 0.5:
            second, first = (_seconds(side, device) for side in reversed(sides))
        else:
            first, second = (_seconds(side, device) for side in sides)
        return first, second

    slowest = max(sum(pair()) for _ in range(WARM_UP))
    pairs = max(min(pairs, LEAST_PAIRS), min(pairs, int(most_seconds / slowest)))
    before = supply.cost
    times = [pair() for _ in range(pairs)]
    spent = Cost(*(getattr(supply.cost, f.name) - getattr(before, f.name) for f in fields(Cost)))
    mean = fmean(first for first, _ in times)
    difference = student_interval([(second - first) / mean for first, second in times])
    return {
        "method": method,
        "batch": batch,
        "block": supply.sampler.block,
        "decodes": supply.decodes,
        "pairs": pairs,
        "bare_ms": 1e3 * mean / batch,
        "method_ms": 1e3 * mean / batch * (1 + difference.mean),
        "ratio": 1 + difference.mean,
        "half_width": difference.half_width,
        "acceptance": spent.acceptance_rate,
        **passes(spent, supply.decodes),
    }


def base_work(bundle: Bundle, against: Base, batch: int, sizes: BlockSizes) -> Callable[[], object]:
    """The other side of a pair: ``batch`` latents of the prior, decoded; with ``prior`` as that method does it."""
    if against == "prior":
        supply = Supply(bundle, bind(bundle, "prior", sizes=sizes), BASE_SEED)
        return lambda: supply.take(batch)
    stream = BlockStream(BASE_SEED, batch, bundle.device)

    @torch.no_grad()
    def bare() -> None:
        bundle.generator(bundle.prior.draw(stream.next()).to(bundle.device))

    return bare


def passes(cost: Cost, decodes: bool) -> dict[str, float]:
    """Rows through each network for one sample that came out; ``decodes``: the method decoded it, not its caller."""
    given = max(1, cost.accepted)
    return {
        "generator_passes": (0.0 if decodes else 1.0) + cost.generator_rows / given,
        "critic_passes": cost.critic_rows / given,
        "importance_passes": cost.importance_rows / given,
        "gradient_steps": cost.gradient_steps / given,
    }


def clock_of(device: torch.device) -> Callable[[], float]:
    """The processor time of this process where it has one thread, else the clock on the wall."""
    return process_time if device.type == "cpu" and torch.get_num_threads() == 1 else perf_counter


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    clock = clock_of(device)
    started = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def table(rows: list[dict[str, Any]], against: Base = "bare") -> str:
    """Markdown, one line a row."""
    lines = [
        f"| method | batch | pairs | ms an image | ratio to {against} | accepted | generator | critic | w | gradient |",
        "| --- |" + " --- |" * 9,
    ]
    for r in rows:
        counts = " | ".join(f"{r[key]:.2f}" for key in PASSES)
        lines.append(
            f"| {r['method']} | {r['batch']:,} | {r['pairs']} | {r['method_ms']:.3f} "
            f"| {r['ratio']:.3f} ± {r['half_width']:.3f} | {r['acceptance']:.3f} | {counts} |"
        )
    return "\n".join(lines)


def words(bundle: Bundle, rows: list[dict[str, Any]], device: torch.device, against: Base = "bare") -> str:
    """What was measured and how, the table, and what was published."""
    bare = ", ".join(
        f"{fmean(r['bare_ms'] for r in rows if r['batch'] == batch):.3f} ms at batch {batch:,}"
        for batch in sorted({r["batch"] for r in rows})
    )
    base = "bare generator" if against == "bare" else against
    clock = "processor time" if clock_of(device) is process_time else "wall time"
    count = torch.get_num_threads()
    return (
        f"{bundle.name} ({bundle.digest[:12]}) on {device.type}, {count} thread{'s' * (count > 1)}, {clock}, torch "
        f"{torch.__version__}; {base} {bare} an image.\n\n{table(rows, against)}\n\nlatentRS over the bare generator "
        f"in the papers: {', '.join(f'{name} {ratio:.2f}' for name, ratio in PUBLISHED.items())}."
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/fashion-mnist"))
    parser.add_argument("--random", choices=SIZES, help="a generator of this size with random weights instead")
    parser.add_argument("--random-128", dest="random", action="store_const", const="random-128")
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS))
    parser.add_argument("--against", choices=get_args(Base), default="bare", help="what ratios are to")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="for one row; fewer pairs beyond that")
    parser.add_argument("--block", type=int, default=BlockSizes.latents, help="proposals of a block of latents")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="the rows as JSON, too")
    parser.add_argument("--keep", type=Path, help="folder for measured rows: a stopped run goes on where it was")
    parser.add_argument("--out", type=Path, help="page with the marker of this program, as docs/methods.md")
    return parser.parse_args()


def run(args: argparse.Namespace) -> str:
    """What was measured, in words; each row is told when it is there."""
    device = choose_device(args.device, args.threads)
    bundle = random_bundle(args.random, device) if args.random else load_bundle(args.bundle, device)
    sizes = BlockSizes(latents=args.block)
    kept = f"{bundle.name}-{bundle.digest[:12]}-{args.pairs}-{args.block}-{args.against}"
    shelf = Shelf(args.keep / kept if args.keep else None)
    rows = []
    for method in args.methods or [name for name, method in METHODS.items() if not method.missing(bundle)]:
        for batch in args.batch:
            row = shelf.result(f"{method} {batch}")
            row = row or measure(
                bundle, method, batch, sizes, args.pairs, most_seconds=args.seconds, against=args.against
            )
            shelf.keep_result(f"{method} {batch}", row)
            rows.append(row)
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    if args.json:
        facts = {"bundle": bundle.name, "digest": bundle.digest, "device": str(device), "sizes": asdict(sizes)}
        args.json.write_text(json.dumps({**facts, "rows": rows}, indent=2) + "\n")
    return words(bundle, rows, device, args.against)


def main() -> int:
    args = parse()
    publish(args.out, PROGRAM, lambda: run(args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
