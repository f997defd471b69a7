"""JSON: latents and weights as numbers, images only on request."""

from __future__ import annotations

from base64 import b64encode

import numpy as np

from service.engine.encoders.numbers import dump
from service.engine.encoders.png import write_pngs
from service.engine.portions import facts_of, summary_of, told
from service.engine.rows import Rows


def encode_json(rows: Rows) -> bytes:
    """One object; its numbers have the digits that bring a float32 back exactly.

    ``points`` or ``images`` (base64 PNG, one each) only where the rows were decoded. ``seed`` is null for
    unseeded samples, ``weights`` null without a w.
    """
    document = told(facts_of(rows), summary_of(rows))
    document |= {"latents": np.ascontiguousarray(rows.latents), "weights": rows.weights}
    if rows.rows is not None and rows.rows.dtype == np.uint8:
        pictures = write_pngs(rows.rows.astype(np.uint8, copy=False))
        document["images"] = [b64encode(picture).decode() for picture in pictures]
    elif rows.rows is not None:
        document["points"] = np.ascontiguousarray(rows.rows)
    return dump(document) + b"\n"
