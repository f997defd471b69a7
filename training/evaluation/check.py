"""The gate at the end of training: latentRS against the prior on training rows that w has not read."""

from __future__ import annotations

from itertools import count
from typing import Any

import torch

from models.bundle import Bundle
from training.data.catalog import fixed_split
from training.data.dataset import DataError, Dataset
from training.evaluation.blocks import Rows, Space, rows_of
from training.evaluation.compare import BLOCKS, compare
from training.evaluation.coupling import couple
from training.evaluation.drawing import DECODE_BLOCK, decode_latents
from training.evaluation.gate import Limits
from training.evaluation.report import floor_of, gate_of, shuffled, spaces_of, summarise
from training.randomness import step_generator

GATE_SPLIT_SEED = 8
GATE_ROWS, GATE_SHARE = 5_000, 5
"""Real rows of the gate: at most a fifth of the data. With 10,000 of Fashion-MNIST's 60,000 apart the gain that
training found on its held-out rows fell from 2.4 of its standard errors to 1.2, and w stayed flat (one run of each)."""
GATE_ROWS_PER_REAL = 10
LEAST_BLOCK = 20
"""With fewer real rows a block the interval of recall is wider than any limit on its loss: nothing could pass."""
SEED_OFFSET, COIN_STEP = 2_000_002, 2**32
"""Streams of the run's seed: blocks of latents are steps 0, 1, ...; the coins are a step that these never reach."""


def split_for_gate(data: Dataset) -> tuple[Dataset, Dataset]:
    """(rows of the gate, rows for training and selection), always the same cut of the training data.

    Training never reads the first, whether the gate is asked for or not. Raises DataError below 5 rows.
    """
    rows = min(GATE_ROWS, len(data) // GATE_SHARE)
    if rows < 2:
        raise DataError(f"{data.name}: {len(data)} training samples; at least {2 * GATE_SHARE} are needed, add samples")
    return fixed_split(data, rows, GATE_SPLIT_SEED)


def check_enough_for_gate(data: Dataset) -> None:
    """Raises DataError when the gate's part of ``data`` is too small to show anything."""
    least = BLOCKS * LEAST_BLOCK * GATE_SHARE
    if len(data) < least:
        raise DataError(
            f"{data.name}: {len(data)} training samples, the quality gate needs {least}; add samples, or give "
            "--no-gate and check the weights with winnow evaluate"
        )


def check_weights(
    bundle: Bundle,
    held_out: Dataset,
    rest: Dataset,
    limits: Limits,
    seed: int,
    device: torch.device,
    space: Space | None = None,
) -> dict[str, Any]:
    """The verdict on ``bundle``'s w, in ``space`` (default: the last of its own), and the numbers it rests on.

    Prior and latentRS are coupled: for as many rows as their laws allow they draw the same latent.
    ``held_out``, ``rest``: of ``split_for_gate``; real rows of the floor come from the rest.
    """
    space = space or spaces_of(bundle)[-1]
    real = shuffled(held_out)
    n = GATE_ROWS_PER_REAL * len(real)
    drawn = draw_pair(bundle, space, n, seed + SEED_OFFSET, device)
    floor = floor_of(rest, n)
    reals, others = (rows_of(space, data.samples, device) for data in (real, floor))
    table = compare(reals, others, drawn)
    section = {"name": space.name, "role": space.role, **summarise(table, limits)}
    return {
        **gate_of(section, limits),
        "rows": len(real),
        "generated_rows": n,
        "blocks": BLOCKS,
        "methods": section["methods"],
        "minus_prior": section["minus_prior"],
    }


def draw_pair(bundle: Bundle, space: Space, n: int, seed: int, device: torch.device) -> dict[str, Rows]:
    """``n`` rows each of "prior" and "latentrs", coupled: they differ in as few as can be."""
    importance = bundle.importance
    assert importance is not None
    blocks = count()

    def propose(rows: int) -> torch.Tensor:
        return bundle.prior.sample(rows, step_generator(seed, next(blocks))).to(device)

    pair = couple(propose, importance, importance.cap, n, step_generator(seed, COIN_STEP))
    base, others = (
        Rows.joined([rows_of(space, decode_latents(bundle, block), device) for block in latents.split(DECODE_BLOCK)])
        for latents in (pair.base, pair.others)
    )
    return {"prior": base, "latentrs": pair.filtered(base, others)}
