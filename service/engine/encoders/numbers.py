"""float32 as JSON text: the shortest digits that bring every number back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import orjson
from numpy.typing import NDArray

# Characters of one number, separator included: an estimate from above for what latents and weights look like.
NUMBER_BYTES = 15


def dump(document: Mapping[str, object]) -> bytes:
    """One JSON object; its arrays must be C-contiguous."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def each(values: NDArray[np.float32]) -> list[bytes]:
    """Numbers [k] or rows [k, d], k and d at least 1 -> the JSON of each, k texts."""
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    if values.ndim == 1:
        return text[1:-1].split(b",")
    return [b"[" + row + b"]" for row in text[2:-2].split(b"],[")]
