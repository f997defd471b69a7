"""Rows of a table: what each method drew from one bundle, measured on the same blocks of held-out data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.bundle import Bundle
from training.data.dataset import DataError, Dataset
from training.draws import Drawn, Shelf, kept_table, label, make, shelf_of
from training.evaluation.blocks import Space
from training.evaluation.compare import Table
from training.evaluation.report import floor_of, shuffled
from training.reproduce.options import SEED, Options

Row = tuple[str, dict[str, Any]]
"""A method and its settings."""
RAW = Space("raw", "training", None)
LEAST_BLOCKS = 2
MATCHING = ("emd", "emd_squared")


@dataclass(frozen=True)
class Measured:
    """``table.values[row][metric]`` one number a block, "floor" and "prior" included; acceptance by row."""

    table: Table
    accepted: dict[str, float]
    rows: int

    @property
    def names(self) -> list[str]:
        return [name for name in self.table.values if name != "floor"]


def together(first: Measured, second: Measured) -> Measured:
    """The rows of both, which were measured on the same blocks; those of ``first`` where a row is in both."""
    added = {name: values for name, values in second.table.values.items() if name not in first.table.values}
    table = Table(first.table.values | added, first.table.block_rows)
    return Measured(table, second.accepted | first.accepted, first.rows)


def draws(bundle: Bundle, rows: Sequence[Row], n: int, options: Options) -> tuple[dict[str, Drawn], Shelf]:
    """``n`` samples a row, kept."""
    shelf = shelf_of(options.work, bundle, n, SEED)
    found = {}
    for method, settings in rows:
        name = label(method, settings)
        drawn = shelf.drawn(name)
        if drawn is None:
            drawn = make(bundle, method, settings, n, SEED, options.device)
            shelf.keep_drawn(name, drawn)
        found[name] = drawn
    return found, shelf


def references(train: Dataset, test: Dataset, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``n`` test rows in a fixed shuffled order, and ``n`` training rows for the real-real floor. Raises DataError."""
    if n > len(test) or n > len(train) - 2:
        raise DataError(f"{test.name}: {len(test)} test rows, {n} were asked for; use fewer --rows")
    return shuffled(test).samples[:n], floor_of(train, len(test)).samples[:n]


def by_turns(test: Dataset, n: int) -> torch.Tensor:
    """``n`` test points in the same order, but each mode in its turn: any block has them in equal numbers. What has no
    modes stays as it is. Raises DataError.

    What matches points is held against such blocks, as in the field's own code (Tanaka 2019 evaluates on 40 points of
    each of 25 modes): of W2 squared of 1,000 real points to 1,000 others, 0.065, a quarter is the reference's chance.
    The other metrics are not: the energy distance is unbiased for independent rows alone.
    """
    data = shuffled(test)
    if data.labels is None or not data.is_points:
        return data.samples[:n]
    least = int(torch.bincount(data.labels).min())
    if n > least * (int(data.labels.max()) + 1):
        raise DataError(f"{test.name}: {least} test rows of one mode are too few for {n} in equal numbers; draw more")
    turn = torch.empty_like(data.labels)
    for mode in data.labels.unique():
        own = data.labels == mode
        turn[own] = torch.arange(int(own.sum()))
    return data.samples[torch.argsort(turn * (int(data.labels.max()) + 1) + data.labels)][:n]


def measure(
    bundle: Bundle,
    rows: Sequence[Row],
    data: tuple[Dataset, Dataset],
    options: Options,
    n: int,
    blocks: int,
    space: Space = RAW,
    title: str = "quality of",
) -> Measured:
    """Every row on ``blocks`` blocks of ``n`` rows of ``data`` (train, test) in ``space``; what matches points
    ``by_turns``."""
    if blocks < LEAST_BLOCKS or n % blocks:
        raise DataError(f"{n} rows do not make {blocks} equal blocks; use --rows that {blocks} divides")
    real, floor = references(*data, n)
    drawn, shelf = draws(bundle, rows, n, options)
    sets = {"floor": floor, **{name: found.samples for name, found in drawn.items()}}
    table = kept_table(shelf, space, real, sets, options.device, blocks, title)
    even = by_turns(data[1], n)
    if not torch.equal(even, real):
        matched = kept_table(shelf, space, even, sets, options.device, blocks, title).values
        for name, values in table.values.items():
            values.update({metric: matched[name][metric] for metric in MATCHING})
    return Measured(table, {name: found.cost.acceptance_rate for name, found in drawn.items()}, n)
