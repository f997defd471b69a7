"""Of the FID above the floor, how much latentRS takes off; and which of several w takes more.

    python -m benchmarks.floor_share bundles/fashion-mnist [OTHER ...] --data fashion-mnist [--cuts 5] [--seed 0]

FID falls with the number of generated rows, so the floor (training rows against held-out ones) and the methods are
compared with as many rows each; the mean over ``--cuts`` disjoint sets of them has less of their noise. Ten disjoint
blocks of real rows; 97% Student intervals of differences block by block; independent space. Every bundle has the same
generator, and accepts from the same stream of latents. The ± of a share is that of its difference alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.block_sizes import CPU
from benchmarks.weighted import require_one_generator
from models.bundle import Bundle, load_bundle
from training.data.catalog import load
from training.data.dataset import DataError
from training.evaluation.blocks import rows_of
from training.evaluation.compare import BLOCKS
from training.evaluation.drawing import draw_method
from training.evaluation.report import floor_of, shuffled, spaces_of
from training.metrics.fid import fid
from training.metrics.intervals import paired_difference, student_interval
from training.pages import publish
from training.refusals import EXPECTED
from training.shapes import check_bundle_fits, check_enough_to_measure
from winnow.commands.arguments import whole

PROGRAM = "benchmarks.floor_share"
TITLES = ("rows", "FID", "less the prior's", "of the excess", "less the first's")


def block_fids(real: torch.Tensor, fake: torch.Tensor, rows: int) -> list[float]:
    """Of each of ``BLOCKS`` blocks of ``real`` the mean FID over sets of ``rows`` generated ones of its own."""
    per_block = [block.split(rows) for block in fake.split(len(fake) // BLOCKS)]
    return [
        sum(fid(block, part) for part in parts) / len(parts)
        for block, parts in zip(real.split(len(real) // BLOCKS), per_block, strict=True)
    ]


def whole_blocks(features: torch.Tensor) -> torch.Tensor:
    """As many rows as make ``BLOCKS`` equal blocks."""
    return features[: len(features) // BLOCKS * BLOCKS]


def table(bundles: Sequence[Bundle], names: Sequence[str], data: str, cuts: int, seed: int) -> str:
    """A line for the floor, the prior and each w. Raises DataError, BundleError, TrainingRefused, SystemExit."""
    require_one_generator(bundles)
    first = bundles[0]
    train, test = load(data, "train"), load(data, "test")
    check_bundle_fits(first, train, test)
    check_enough_to_measure(train, test)
    space = spaces_of(first)[-1]
    real = whole_blocks(rows_of(space, shuffled(test).samples, CPU).features)
    floor = whole_blocks(rows_of(space, floor_of(train, len(train)).samples, CPU).features)
    rows = len(floor) // BLOCKS
    ours = [("prior", first), *zip(names, bundles, strict=True)]
    draws = {
        name: draw_method(bundle, "prior" if name == "prior" else "latentrs", cuts * len(floor), seed, [space], CPU)
        for name, bundle in ours
    }
    found = {"real data": block_fids(real, floor, rows)}
    found |= {name: block_fids(real, drawn.rows[space.name].features, rows) for name, drawn in draws.items()}
    lines = [list(TITLES), ["---"] * len(TITLES), *lines_of(found)]
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    digests = ", ".join(f"{name} {bundle.digest[:12]}" for name, bundle in zip(names, bundles, strict=True))
    blocks = f"{BLOCKS} blocks of {len(real) // BLOCKS:,} real rows, {rows:,} rows, {cuts} sets of them each"
    return f"{digests}, space {space.name}: {blocks}.\n\n{body}"


def lines_of(found: dict[str, list[float]]) -> list[list[str]]:
    """``found`` by row: "real data", "prior", then each w, which are compared with the first of them."""
    base, excess = student_interval(found["prior"]).mean, paired_difference(found["prior"], found["real data"])
    first = list(found)[2]
    lines = []
    for name, values in found.items():
        cells = [name, f"{student_interval(values).mean:.4f}", "", "", ""]
        if name != "prior":
            change = paired_difference(values, found["prior"])
            cells[2] = f"{change.mean:+.4f} ± {change.half_width:.4f}"
        if name not in ("prior", "real data"):
            above = excess.mean > excess.half_width  # a prior at the floor has nothing to give
            cells[3] = f"{-change.mean / excess.mean:.0%} ± {change.half_width / excess.mean:.0%}" if above else "-"
        if name not in ("prior", "real data", first):
            other = paired_difference(values, found[first])
            cells[4] = f"{other.mean / base:+.1%} ± {other.half_width / base:.1%} of the prior's"
        lines.append(cells)
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "bundles", type=Path, nargs="+", metavar="BUNDLE", help="folders; the others are compared with the first"
    )
    parser.add_argument("--data", required=True, help="a data set by name, or a folder of images")
    parser.add_argument("--cuts", type=whole(1), default=5)
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--out", type=Path, help="page to write the table into, between its markers")
    parser.add_argument("--threads", type=whole(1), help="of torch; its own choice without it")
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        bundles = [load_bundle(folder, CPU) for folder in args.bundles]
        names = [folder.name or str(folder) for folder in args.bundles]
        if len({"real data", "prior", *names}) < 2 + len(names):
            raise DataError(
                f"the folders are told apart by their last names: {', '.join(names)}; rename one, or give a link"
            )
        publish(args.out, PROGRAM, lambda: table(bundles, names, args.data, args.cuts, args.seed))
    except EXPECTED as error:
        raise SystemExit(f"{PROGRAM}: {error}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
