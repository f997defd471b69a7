"""What w makes of given latents, as JSON: their weights, or their paths up to higher ones."""

from __future__ import annotations

import numpy as np

from service.engine.encoders.numbers import NUMBER_BYTES, dump
from service.engine.evaluations import acceptance
from service.engine.portions import facts_of, summary_of, told
from service.engine.rows import Rows


def encode_scores(rows: Rows, cap: float) -> bytes:
    """One object: ``weights`` and ``acceptance`` [n], the ``cap`` and its ``acceptance_rule``."""
    assert rows.weights is not None
    document = told(facts_of(rows), summary_of(rows)) | {"cap": cap, "acceptance_rule": "min(weight / cap, 1)"}
    return dump({**document, "weights": rows.weights, "acceptance": acceptance(rows.weights, cap)}) + b"\n"


def encode_trajectories(rows: Rows) -> bytes:
    """One object: ``latents`` [n, steps + 1, d] and ``weights`` [n, steps + 1], the start first."""
    assert rows.weights is not None
    paths, weights = np.ascontiguousarray(rows.latents), np.ascontiguousarray(rows.weights)
    return dump({**told(facts_of(rows), summary_of(rows)), "latents": paths, "weights": weights}) + b"\n"


def most_trajectories(steps: int, dim: int, json_bytes: int) -> int:
    """How many paths a document of ``json_bytes`` holds, at least 1."""
    return max(1, json_bytes // (NUMBER_BYTES * (steps + 1) * (dim + 1)))
