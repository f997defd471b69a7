"""The formats by name: media type, what each may hold at once, how it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.bundle import Bundle
from service.engine.encoders.document import encode_json
from service.engine.encoders.npz import encode_npz
from service.engine.encoders.png import encode_png
from service.engine.encoders.scatter import encode_scatter
from service.engine.rows import Rows

# Characters of one number in JSON, separators included; an estimate from above.
JSON_NUMBER_BYTES = 15
# PNG's own overhead and base64's growth by a third.
PNG_OVERHEAD_BYTES = 100


@dataclass(frozen=True)
class Limits:
    """What an answer that must be held whole may be: rows of a sheet, bytes of an archive or a document."""

    sheet_rows: int = 4_096
    npz_bytes: int = 256 * 2**20
    json_bytes: int = 16 * 2**20


@dataclass(frozen=True)
class Format:
    """``encode`` raises nothing for samples that ``largest`` allows."""

    name: str
    media_type: str
    encode: Callable[[Rows], bytes]


def _encode_picture(rows: Rows) -> bytes:
    assert rows.rows is not None
    if rows.rows.ndim == 2:
        return encode_scatter(rows.rows.astype(np.float32, copy=False))
    return encode_png(rows.rows.astype(np.uint8, copy=False))


FORMATS = {
    fmt.name: fmt
    for fmt in (
        Format("png", "image/png", _encode_picture),
        Format("npz", "application/x-npz", encode_npz),
        Format("json", "application/json", encode_json),
    )
}
MEDIA_TYPES = {fmt.media_type: fmt.name for fmt in FORMATS.values()}


def largest(format_name: str, bundle: Bundle, limits: Limits, images: bool) -> int:
    """The most rows that one answer of this format may hold (at least 1)."""
    output, dim = bundle.manifest.output, bundle.prior.dim
    values = int(np.prod(output.shape))
    if format_name == "png":
        return limits.sheet_rows if output.kind == "image" else limits.npz_bytes // 64
    if format_name == "npz":
        return max(1, limits.npz_bytes // (values * (1 if output.kind == "image" else 4) + 4 * dim + 4))
    row = JSON_NUMBER_BYTES * (dim + 1)
    if images:
        row += (values + PNG_OVERHEAD_BYTES) * 4 // 3 if output.kind == "image" else JSON_NUMBER_BYTES * values
    return max(1, limits.json_bytes // row)
