"""What w makes of given latents, as JSON: their weights, or their paths up to higher ones."""

from __future__ import annotations

import json

from service.engine.encoders.document import matrix, vector
from service.engine.encoders.formats import JSON_NUMBER_BYTES
from service.engine.evaluations import acceptance
from service.engine.rows import Rows


def encode_scores(rows: Rows, cap: float) -> bytes:
    """One object: ``weights`` and ``acceptance`` [n], the ``cap`` and its ``acceptance_rule``."""
    assert rows.weights is not None
    head = {**rows.facts(), "cap": cap, "acceptance_rule": "min(weight / cap, 1)"}
    weights, accepted = vector(rows.weights), vector(acceptance(rows.weights, cap))
    return f'{json.dumps(head)[:-1]}, "weights": {weights}, "acceptance": {accepted}}}\n'.encode()


def encode_trajectories(rows: Rows) -> bytes:
    """One object: ``latents`` [n, steps + 1, d] and ``weights`` [n, steps + 1], the start first."""
    assert rows.weights is not None
    paths = ", ".join(map(matrix, rows.latents))
    head = json.dumps(rows.facts())[:-1]
    return f'{head}, "latents": [{paths}], "weights": {matrix(rows.weights)}}}\n'.encode()


def most_trajectories(steps: int, dim: int, json_bytes: int) -> int:
    """How many paths a document of ``json_bytes`` holds, at least 1."""
    return max(1, json_bytes // (JSON_NUMBER_BYTES * (steps + 1) * (dim + 1)))
