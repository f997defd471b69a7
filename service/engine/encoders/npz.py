"""numpy's archive: the arrays as they are."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from service.engine.rows import Rows


def encode_npz(rows: Rows) -> bytes:
    """``images`` uint8 [n, H, W, C] or ``points`` float32 [n, D], ``latents``, ``weights`` where there is a w.

    Stored, not compressed: images of a generator are noise to zip, and the bytes must not depend on zlib.
    """
    assert rows.rows is not None
    name = "points" if rows.rows.ndim == 2 else "images"
    arrays = {name: rows.rows, "latents": rows.latents}
    if rows.weights is not None:
        arrays["weights"] = rows.weights
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
