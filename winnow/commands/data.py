"""``winnow data``: which data sets are at hand, and how to get the others."""

from __future__ import annotations

import argparse
from typing import Any


def register(commands: Any) -> None:
    parser = commands.add_parser("data", help="find data sets, or say how to get them")
    parser.add_argument("source", nargs="?", help="a name or a path to look at closely")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from training.data.catalog import FILE_SOURCES, STACKED, SYNTHETIC, find, load
    from training.data.dataset import DataError

    if args.source:
        for split in ("train", "test"):
            data = load(args.source, split)
            labels = "no labels" if data.labels is None else f"{int(data.labels.max()) + 1} classes"
            print(f"{args.source} {split}: {len(data)} samples of shape {list(data.samples.shape[1:])}, {labels}")
        return 0
    for name in FILE_SOURCES:
        try:
            print(f"{name:14} {find(name)}")
        except DataError as error:
            print(f"{name:14} missing: {error}")
    print(f"{STACKED:14} made of mnist")
    for name in SYNTHETIC:
        print(f"{name:14} built in")
    return 0
