"""What numbers of a sample's own cost: latents of a seeded stream against those of a block stream, side by side.

    python -m benchmarks.seeded [--bundle bundles/fashion-mnist] [--n 1 64 1000] [--blocks 128 512] [--methods latentrs]

Each pair draws n samples of one seed with both streams, nothing decoded but what the method decodes itself. The block
stream has the usual block, the seeded one each of ``--blocks``. ``of decoding``: the seeded stream's surplus time
over the time that decoding the n samples takes. CPU time on a CPU, so that other work does not count, wall time else;
intervals are 97% Student over the pairs.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter, process_time

import torch

from models.bundle import Bundle, load_bundle
from sampling.draw import Draw
from sampling.methods import METHODS, bind
from sampling.sampler import BlockSizes, Sampler, draw
from sampling.seeded import SEEDED_SIZES, draw_seeded, window_size
from sampling.streams import BlockStream
from training.device import choose_device
from training.metrics.intervals import student_interval

PAIRS, WARM_UP = 40, 10
DECODED = 32
"""Rows of a generator call."""


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds and proposals of each pair, block stream first; ``decode`` seconds of n rows."""

    method: str
    n: int
    block: int
    window: int
    seconds: list[tuple[float, float]]
    proposals: list[tuple[int, int]]
    decode: float

    def line(self) -> str:
        first = fmean(block for block, _ in self.seconds)
        ratio = student_interval([seeded / first for _, seeded in self.seconds])
        surplus = student_interval([(seeded - block) / self.decode for block, seeded in self.seconds])
        theirs, ours = (fmean(pair[side] for pair in self.proposals) / self.n for side in (0, 1))
        scale = 1e6 / self.n  # milliseconds of a thousand samples
        return (
            f"| {self.method} | {self.n} | {self.block} | {self.window} | {theirs:.2f} | {ours:.2f} | "
            f"{scale * first:.1f} | {scale * first * ratio.mean:.1f} | {ratio.mean:.2f} ±{ratio.half_width:.2f} | "
            f"{surplus.mean:+.3f} ±{surplus.half_width:.3f} |"
        )


HEADER = (
    "| method | n | block | window | proposals a sample | seeded | ms a 1,000 | seeded | ratio | of decoding |\n"
    "| --- |" + " --- |" * 9
)


def measure(bundle: Bundle, method: str, n: int, block: int, pairs: int, device: torch.device) -> Row:
    """Interleaved pairs, a seed each."""
    usual = bind(bundle, method)
    sampler = bind(bundle, method, sizes=BlockSizes(latents=block))
    for seed in range(WARM_UP):
        _pair(usual, sampler, n, seed, device)
    measured = [_pair(usual, sampler, n, WARM_UP + seed, device) for seed in range(pairs)]
    return Row(
        method,
        n,
        sampler.block,
        window_size(sampler),
        [(theirs[0], ours[0]) for theirs, ours in measured],
        [(theirs[1].cost.proposals, ours[1].cost.proposals) for theirs, ours in measured],
        decode_seconds(bundle, n, pairs, device),
    )


def _pair(
    usual: Sampler, sampler: Sampler, n: int, seed: int, device: torch.device
) -> tuple[tuple[float, Draw], tuple[float, Draw]]:
    started = _now(device)
    theirs = draw(usual.method, usual.propose, n, BlockStream(seed, usual.block, device))
    between = _now(device)
    ours = draw_seeded(sampler, n, seed, device=device)
    return (between - started, theirs), (_now(device) - between, ours)


@torch.no_grad()
def decode_seconds(bundle: Bundle, n: int, pairs: int, device: torch.device) -> float:
    """Seconds that n rows take in calls of DECODED rows, the last one padded."""
    latents = bundle.prior.draw(BlockStream(0, DECODED).next()).to(device)
    calls = []
    for _ in range(pairs):
        started = _now(device)
        bundle.generator(latents)
        calls.append(_now(device) - started)
    return fmean(calls) * -(-n // DECODED)


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return process_time()
    torch.cuda.synchronize(device)
    return perf_counter()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/fashion-mnist"))
    parser.add_argument("--n", type=int, nargs="+", default=[1, 64, 1_000])
    parser.add_argument("--blocks", type=int, nargs="+", default=[SEEDED_SIZES.latents, BlockSizes.latents])
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS), default=["latentrs"])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    device = choose_device(args.device, args.threads)
    bundle = load_bundle(args.bundle, device)
    print(f"{bundle.name} on {device}, {torch.get_num_threads()} threads, {args.pairs} interleaved pairs a row\n")
    print(HEADER)
    # Thrown away: measured twice, the first row of a process had the ratio 2.5 ±3.3 and then 1.2 ±0.2.
    measure(bundle, args.methods[0], 1, args.blocks[0], args.pairs, device)
    for method in args.methods:
        for n in args.n:
            for block in args.blocks:
                print(measure(bundle, method, n, block, args.pairs, device).line(), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
