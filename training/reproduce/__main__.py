"""The papers' tables, made again on generators trained here.

    python -m training.reproduce table1|figure2|mixtures|mnist|fashion-mnist|stacked-mnist|sweeps
        [--out docs/results.md] [--keep runs/reproduce] [--objective transport] [--device auto] [--quick]
        [--bundle FOLDER] [--rows N]

Every step is kept below --keep: the same command, run again, goes on where it was stopped. --out replaces what stands
in that page between the markers of the table. --quick shows in a minute that a table can be made; its numbers mean
nothing, so it never writes to a page, and keeps its work apart, in quick/ below --keep.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from training.device import choose_device
from training.pages import publish
from training.presets import DEFAULT_FOR_PLANE
from training.refusals import EXPECTED
from training.reproduce import figure2, images, mixtures, stacked, sweeps, table1
from training.reproduce.options import FULL, OBJECTIVES, QUICK, Options

PROGRAM = "training.reproduce"
TABLES: dict[str, Callable[[Options], str]] = {
    "table1": table1.regenerate,
    "figure2": figure2.regenerate,
    "mixtures": mixtures.regenerate,
    "mnist": partial(images.regenerate, "mnist"),
    "fashion-mnist": partial(images.regenerate, "fashion-mnist"),
    "stacked-mnist": stacked.regenerate,
    "sweeps": sweeps.regenerate,
}
WITH_BUNDLE = ("mnist", "fashion-mnist", "stacked-mnist")
"""Tables that can be made on a bundle that is there already."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=tuple(TABLES))
    parser.add_argument("--out", type=Path, help="page with the markers of this table, as docs/results.md")
    parser.add_argument(
        "--keep", type=Path, default=Path("runs/reproduce"), help="folder for what is trained and drawn"
    )
    parser.add_argument(
        "--objective", choices=tuple(OBJECTIVES), help=f"of the 2-D tables (default: {DEFAULT_FOR_PLANE})"
    )
    parser.add_argument("--bundle", type=Path, help="generator and networks of an image table")
    parser.add_argument("--rows", type=int, help="samples a method of an image table (default: the test split)")
    parser.add_argument("--quick", action="store_true", help="tiny rows and steps, to see that it runs")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(arguments)
    if args.table not in WITH_BUNDLE and (args.bundle or args.rows):
        parser.error(f"--bundle and --rows belong to {', '.join(WITH_BUNDLE)}; {args.table} trains its own generators")
    if args.table in WITH_BUNDLE and args.objective:
        parser.error(f"--objective: the weights of {args.table} are those of its bundle")
    if args.rows is not None and args.rows < 1:
        parser.error(f"--rows must be at least 1, not {args.rows}")
    if args.quick and args.out:
        parser.error("--quick makes numbers that mean nothing: leave --out away")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    program = f"{PROGRAM} {args.table}"
    try:
        device = choose_device(args.device, args.threads)
        effort = QUICK if args.quick else FULL
        options = Options(args.keep, device, effort, args.objective or DEFAULT_FOR_PLANE, args.bundle, args.rows)
        publish(args.out, program, lambda: TABLES[args.table](options))
    except EXPECTED as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
