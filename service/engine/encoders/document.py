"""JSON: latents and weights as numbers, images only on request."""

from __future__ import annotations

import json
from base64 import b64encode

import numpy as np
from numpy.typing import NDArray

from service.engine.encoders.png import write_png
from service.engine.rows import Rows


def encode_json(rows: Rows) -> bytes:
    """One object; numbers have the nine digits that bring a float32 back exactly.

    ``points`` or ``images`` (base64 PNG, one each) only where the rows were decoded. ``seed`` is null for
    unseeded samples, ``weights`` null without a w.
    """
    parts = [json.dumps(rows.facts())[:-1], f', "latents": {matrix(rows.latents)}']
    parts.append(f', "weights": {"null" if rows.weights is None else vector(rows.weights)}')
    if rows.rows is not None and rows.rows.dtype == np.uint8:
        images = [b64encode(write_png(image)).decode() for image in rows.rows.astype(np.uint8, copy=False)]
        parts.append(f', "images": {json.dumps(images)}')
    elif rows.rows is not None:
        parts.append(f', "points": {matrix(rows.rows.astype(np.float32, copy=False))}')
    return ("".join(parts) + "}\n").encode()


def matrix(rows: NDArray[np.float32]) -> str:
    """A JSON list of lists."""
    return "[" + ", ".join(map(vector, rows)) + "]"


def vector(values: NDArray[np.float32]) -> str:
    """A JSON list with the digits that bring every float32 back."""
    return "[" + ", ".join([f"{value:.9g}" for value in values.tolist()]) + "]"
