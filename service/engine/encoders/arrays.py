"""The arrays of an answer as they are: numpy's archive, and safetensors."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from safetensors.numpy import save

from service.engine.encoders.numbers import dump
from service.engine.portions import facts_of, summary_of, told
from service.engine.rows import Pixels, Rows


def arrays_of(rows: Rows) -> dict[str, Pixels]:
    """``images`` uint8 [n, H, W, C] or ``points`` float32 [n, D], ``latents``, ``weights`` where there is a w."""
    kind = facts_of(rows).kind
    assert rows.rows is not None and kind is not None
    arrays: dict[str, Pixels] = {kind: rows.rows, "latents": rows.latents}
    return arrays if rows.weights is None else {**arrays, "weights": rows.weights}


def encode_npz(rows: Rows) -> bytes:
    """Stored, not compressed: images of a generator are noise to zip, and the bytes must not depend on zlib."""
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays_of(rows))
    return buffer.getvalue()


def encode_safetensors(rows: Rows) -> bytes:
    """The same arrays; what a document says of them lies as JSON under ``winnow`` of the metadata.

    One key, because safetensors writes several in an order that changes from one process to the next.
    """
    arrays = {name: np.ascontiguousarray(values) for name, values in arrays_of(rows).items()}
    return save(arrays, {"winnow": dump(told(facts_of(rows), summary_of(rows))).decode()})
