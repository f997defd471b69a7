"""What recall in the plane depends on: junk between modes covers them, the fewer balls there are the more of it.

    python -m benchmarks.dense_recall gaussians-25 swiss-roll [--sizes 500 2000] [--generated 1 10] [--blocks 10]
        [--bundles bundles] [--out docs/evaluation.md]

Recall is the share of real rows inside the ball of at least one generated row, whose radius is the distance to its
third neighbour among the generated rows. A line has one size of real blocks, and ``--generated`` rows to each real
one. Real rows are drawn from the data's formula, none was ever read; the blocks are disjoint. 97% Student intervals.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.block_sizes import CPU, FLOOR_SEED, SEED, parser_of
from models.bundle import load_bundle
from training.data.catalog import points
from training.draws import make
from training.metrics.intervals import paired_difference, student_interval
from training.metrics.neighbours import recall
from training.pages import publish
from training.refusals import EXPECTED
from winnow.commands.arguments import whole

PROGRAM = "benchmarks.dense_recall"
TITLES = ("real rows of a block", "generated rows", "real data in their place", "prior", "latentRS", "change")


def recalls(real: torch.Tensor, fake: torch.Tensor, size: int) -> list[float]:
    """Of each block of ``size`` real rows, among as many generated ones as there are for each."""
    blocks = len(real) // size
    return [recall(x, y) for x, y in zip(real.split(size), fake.split(len(fake) // blocks), strict=True)]


def table(name: str, args: argparse.Namespace) -> str:
    """Of the bundle ``name``, a line for each size and number of generated rows."""
    bundle = load_bundle(args.bundles / name, CPU)
    lines = [list(TITLES), ["---"] * len(TITLES)]
    for size in args.sizes:
        real = points(name, size * args.blocks, SEED + args.seed).samples
        for multiple in args.generated:
            rows = len(real) * multiple
            sets = {"floor": points(name, rows, FLOOR_SEED + args.seed).samples}
            for method in ("prior", "latentrs"):
                sets[method] = make(bundle, method, {}, rows, SEED + args.seed, CPU).samples
            found = {method: recalls(real, samples, size) for method, samples in sets.items()}
            change = paired_difference(found["latentrs"], found["prior"])
            cells = [f"{student_interval(values).mean:.3f}" for values in found.values()]
            lines.append([f"{size:,}", f"{size * multiple:,}", *cells, f"{change.mean:+.3f} ± {change.half_width:.3f}"])
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{name} {bundle.digest[:12]}, {args.blocks} blocks.\n\n{body}"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of(__doc__, [500, 2_000], least=4, blocks=10)
    parser.add_argument("--generated", type=whole(1), nargs="+", default=[1, 10], help="rows to each real one")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    try:
        publish(args.out, PROGRAM, lambda: "\n\n".join(table(name, args) for name in args.names))
    except EXPECTED as error:
        raise SystemExit(f"{PROGRAM}: {error}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
