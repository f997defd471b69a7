"""How much of W2 squared is the generator's, and how much the block's: methods beside real data, by rows of a block.

    python -m benchmarks.block_sizes gaussians-25 swiss-roll [--sizes 1000 2000 4000 8000] [--blocks 5]
        [--methods latentrs latentga latentrsga] [--bundles bundles] [--out docs/results.md]

Two samples of one law are apart by what chance puts where: 25 modes never get equal numbers of points. That floor falls
as blocks grow, what a generator does wrong stays. Real rows are drawn from the data's formula, none was ever read; the
blocks are disjoint, and every method is held against the same ones. 97% Student intervals over the blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from models.bundle import load_bundle
from sampling.method import MethodUnavailable
from sampling.methods import METHODS
from training.data.catalog import points
from training.draws import make
from training.metrics.intervals import Interval, paired_difference, student_interval
from training.metrics.transport import emd
from training.pages import publish
from training.refusals import EXPECTED
from winnow.commands.arguments import whole

PROGRAM = "benchmarks.block_sizes"
SEED, FLOOR_SEED = 5_000_000, 5_500_000
"""Of real rows on either side; no split has them."""
OTHERS = tuple(method for method in METHODS if method != "prior")
CPU = torch.device("cpu")


def distances(real: torch.Tensor, fake: torch.Tensor, size: int) -> list[float]:
    """W2 squared of each block of ``size`` rows."""
    return [emd(x, y, power=2) for x, y in zip(real.split(size), fake.split(size), strict=True)]


def line(size: int, found: dict[str, list[float]]) -> list[str]:
    """Cells of one size: floor, prior, each method with its change and the share of the prior's excess over the floor
    that it removed, where that excess is beyond its interval."""
    floor, prior = student_interval(found["floor"]), student_interval(found["prior"])
    excess = paired_difference(found["prior"], found["floor"])
    cells = [f"{size:,}", plus_minus(floor), plus_minus(prior)]
    for name in list(found)[2:]:
        change = paired_difference(found[name], found["prior"])
        gone = -change.mean / excess.mean if excess.mean > excess.half_width else None
        relative = f"{change.mean / prior.mean:+.0%} ± {change.half_width / prior.mean:.0%}"
        cells.append(f"{plus_minus(student_interval(found[name]))} ({relative})")
        cells.append("-" if gone is None else f"{gone:.0%}")
    return cells


def plus_minus(interval: Interval) -> str:
    return f"{interval.mean:.4f} ± {interval.half_width:.4f}"


def table(name: str, args: argparse.Namespace) -> str:
    """Of the bundle ``name``, a line a size."""
    bundle = load_bundle(args.bundles / name, CPU)
    titles = ["rows of a block", "floor", "prior"]
    methods = list(dict.fromkeys(args.methods))
    for method in methods:
        titles += [method, "excess gone"]
    lines = [titles, ["---"] * len(titles)]
    for size in args.sizes:
        rows = size * args.blocks
        real, other = (points(name, rows, seed + args.seed).samples for seed in (SEED, FLOOR_SEED))
        sets = {"floor": other}
        for method in ("prior", *methods):
            sets[method] = make(bundle, method, {}, rows, SEED + args.seed, CPU).samples
        lines.append(line(size, {method: distances(real, samples, size) for method, samples in sets.items()}))
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{name} {bundle.digest[:12]}, W2², {args.blocks} blocks.\n\n{body}"


def parser_of(description: str | None, sizes: list[int], least: int, blocks: int) -> argparse.ArgumentParser:
    """What programs over bundles of the plane take: ``sizes`` of a block, at ``least`` so many rows, and ``blocks``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help="bundle of a data set in the plane, of the same name")
    parser.add_argument("--sizes", type=whole(least), nargs="+", default=sizes)
    parser.add_argument("--blocks", type=whole(2), default=blocks)
    parser.add_argument("--bundles", type=Path, default=Path("bundles"))
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--out", type=Path)
    return parser


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of(__doc__, [1_000, 2_000, 4_000, 8_000], least=2, blocks=5)
    parser.add_argument("--methods", nargs="+", choices=OTHERS, default=["latentrs", "latentga", "latentrsga"])
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    try:
        publish(args.out, PROGRAM, lambda: "\n\n".join(table(name, args) for name in args.names))
    except (*EXPECTED, MethodUnavailable) as error:
        raise SystemExit(f"{PROGRAM}: {error}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
