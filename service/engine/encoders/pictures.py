"""Rows as one picture: an image, a contact sheet of many, a scatter plot of points; as PNG, JPEG or WebP."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from service.engine.encoders.scatter import draw_scatter
from service.engine.encoders.sheet import contact_sheet
from service.engine.rows import Rows

# Colour at full resolution: samples are small, and halved colour shows on them.
JPEG_QUALITY, JPEG_COLOUR = 90, "444"
# libwebp's default quality; its method 0 takes a third of the time of its default 4 for a tenth more bytes.
WEBP_QUALITY, WEBP_METHOD = 80, 0
# Pixels a side that the formats can count.
PNG_SIDE, JPEG_SIDE, WEBP_SIDE = 2**31 - 1, 65_500, 16_383

Picture = NDArray[np.uint8]


def encode_picture(write: Callable[[Picture], bytes], rows: Rows) -> bytes:
    """What ``write`` makes of the one picture uint8 [H, W, C] that shows all rows; they must be decoded."""
    assert rows.rows is not None
    if rows.rows.ndim == 2:
        return write(draw_scatter(rows.rows.astype(np.float32, copy=False)))
    return write(contact_sheet(rows.rows.astype(np.uint8, copy=False)))


def write_jpeg(picture: Picture) -> bytes:
    """One picture uint8 [H, W, 1 or 3] -> JPEG."""
    colour = "GRAY" if picture.shape[2] == 1 else "RGB"
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), JPEG_QUALITY, colour, JPEG_COLOUR)
    return data


def write_webp(picture: Picture) -> bytes:
    """One picture uint8 [H, W, 1, 3 or 4] -> WebP, lossy."""
    buffer = BytesIO()
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    image.save(buffer, "webp", quality=WEBP_QUALITY, method=WEBP_METHOD)
    return buffer.getvalue()
