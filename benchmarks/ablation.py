"""Every objective of importance training side by side, at equal acceptance, written as Markdown tables.

    python -m benchmarks.ablation cases  [--dims 2 64] [--kinds perfect "too wide" ...]
    python -m benchmarks.ablation plane | digits
    python -m benchmarks.ablation images --bundle bundles/fashion-mnist --data fashion-mnist

with [--objectives ...] [--seeds 3] [--keep FOLDER] [--out docs/training.md]. ``cases`` are generators with known junk
and known modes (training.weights.cases); the others train on a bundle and judge on the test split, in the feature
space that training never saw. ``--keep`` holds what was measured: the same command, run again, goes on where it was
stopped. ``--out`` replaces what stands in that page between the marker of this program and the end of the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.ablation_bundles import Sizes, bundle_page, plane_bundles
from benchmarks.ablation_cases import cases_page
from training.draws import Shelf
from training.pages import publish
from training.presets import WEIGHTS_PRESETS
from training.weights.cases import DIMS, KINDS
from winnow.commands.arguments import whole

PROGRAM = "benchmarks.ablation"
OBJECTIVES = (
    "energy", "energy-ladder", "energy-laplace", "energy-whitened", "energy-batch", "energy-ratio",
    "energy-least-squares", "least-squares", "transport", "transport-raw", "transport-debiased",
    "transport-sinkhorn", "ratio", "adversarial", "refine", "paper-mnist",
)  # fmt: skip
NEED_CRITIC = ("adversarial", "refine", "paper-mnist")
"""The constructed generators have no critic of a GAN to start the game from."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--objectives", nargs="+", action="extend", choices=tuple(WEIGHTS_PRESETS))
    common.add_argument("--seeds", type=whole(2), default=3, help="training seeds of each objective, 2 or more")
    common.add_argument("--keep", type=Path, help="folder for what was measured")
    common.add_argument("--out", type=Path, help="page with the marker of this program, as docs/training.md")
    common.add_argument("--threads", type=int)
    parts = parser.add_subparsers(dest="what", required=True)
    cases = parts.add_parser("cases", parents=[common])
    cases.add_argument("--kinds", nargs="+", action="extend", choices=KINDS)
    cases.add_argument("--dims", nargs="+", action="extend", type=whole(2))
    cases.add_argument("--steps", type=int, default=300)
    for name in ("plane", "digits", "images"):
        part = parts.add_parser(name, parents=[common])
        part.add_argument("--steps", type=int, help="of w at most (default: the preset's)")
        part.add_argument("--pool-rows", type=int, help="(default: the preset's)")
        part.add_argument("--real-rows", type=int, help="training rows (default: all)")
        part.add_argument("--test-rows", type=int, help="(default: all)")
        part.add_argument("--programs", type=int, help="of transport (default: the preset's)")
        part.add_argument("--hidden", type=int, nargs="+", help="widths of w (default: the preset's)")
        if name == "images":
            part.add_argument("--bundle", type=Path, required=True)
            part.add_argument("--data", required=True)
    args = parser.parse_args(arguments)
    args.objectives = args.objectives or OBJECTIVES
    return args


def run(args: argparse.Namespace) -> str:
    """The tables of one part."""
    if args.what == "cases":
        names = [name for name in args.objectives if name not in NEED_CRITIC]
        return cases_page(names, args.kinds or KINDS, args.dims or DIMS, args.seeds, args.steps, Shelf(args.keep))
    sizes = Sizes(args.steps, args.pool_rows, args.real_rows, args.test_rows, args.programs, args.hidden)
    if args.what == "images":
        found = [(args.bundle, args.data)]
    else:
        found = plane_bundles() if args.what == "plane" else [(Path("bundles/digits"), "digits")]
    return "\n\n".join(
        bundle_page(bundle, data, list(args.objectives), args.seeds, sizes, args.keep) for bundle, data in found
    )


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    program = f"{PROGRAM} {args.what}" + (f" --data {args.data}" if args.what == "images" else "")
    if args.threads:
        torch.set_num_threads(args.threads)
    publish(args.out, program, lambda: run(args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
