"""Importance weights of given latents as JSON."""

from __future__ import annotations

import json

from service.engine.encoders.document import vector
from service.engine.evaluations import acceptance
from service.engine.jobs import Rows


def encode_scores(rows: Rows, cap: float) -> bytes:
    """One object: ``weights`` and ``acceptance`` [n], the ``cap`` and its ``acceptance_rule``."""
    assert rows.weights is not None
    head = {**rows.facts(), "cap": cap, "acceptance_rule": "min(weight / cap, 1)"}
    weights, accepted = vector(rows.weights), vector(acceptance(rows.weights, cap))
    return f'{json.dumps(head)[:-1]}, "weights": {weights}, "acceptance": {accepted}}}\n'.encode()
