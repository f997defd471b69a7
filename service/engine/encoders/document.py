"""JSON: latents and weights as numbers, images only on request."""

from __future__ import annotations

import json
from base64 import b64encode

import numpy as np
from numpy.typing import NDArray

from service.engine.encoders.png import write_png
from service.engine.jobs import Samples


def encode_json(samples: Samples) -> bytes:
    """One object; numbers have the nine digits that bring a float32 back exactly.

    ``points`` or ``images`` (base64 PNG, one each) only where the rows were decoded. ``seed`` is null for
    unseeded samples, ``weights`` null without a w.
    """
    head = {
        "model": samples.model,
        "method": samples.method,
        "n": samples.n,
        "seed": samples.seed,
        "proposals": samples.proposals,
        "acceptance_rate": samples.acceptance_rate,
        "fingerprint": samples.fingerprint,
    }
    parts = [json.dumps(head)[:-1], f', "latents": {_matrix(samples.latents)}']
    parts.append(f', "weights": {"null" if samples.weights is None else _vector(samples.weights)}')
    if samples.rows is not None and samples.rows.dtype == np.uint8:
        images = [b64encode(write_png(image)).decode() for image in samples.rows.astype(np.uint8, copy=False)]
        parts.append(f', "images": {json.dumps(images)}')
    elif samples.rows is not None:
        parts.append(f', "points": {_matrix(samples.rows.astype(np.float32, copy=False))}')
    return ("".join(parts) + "}\n").encode()


def _matrix(rows: NDArray[np.float32]) -> str:
    return "[" + ", ".join(map(_vector, rows)) + "]"


def _vector(values: NDArray[np.float32]) -> str:
    return "[" + ", ".join([f"{value:.9g}" for value in values.tolist()]) + "]"
