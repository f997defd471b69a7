"""PNG: exact pixels, written by ISA-L, a whole batch at once."""

from __future__ import annotations

from struct import pack

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xae\x42\x60\x82"
# PNG's number for pixels of 1 channel (grey), 2 (grey and alpha), 3 (RGB) and 4 (RGB and alpha).
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
# Differences to the pixel on the left. Level 1: the levels above take longer and save nothing on filtered images.
SUB = 1
LEVEL = 1


def write_pngs(images: NDArray[np.uint8]) -> list[bytes]:
    """Images uint8 [k, H, W, 1 to 4] -> k files. Nothing of a file depends on the images beside it."""
    _, height, width, channels = images.shape
    head = SIGNATURE + _chunk(b"IHDR", pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0))
    return [head + _chunk(b"IDAT", isal_zlib.compress(lines, LEVEL)) + END for lines in _filtered(images)]


def write_png(image: NDArray[np.uint8]) -> bytes:
    """One picture uint8 [H, W, 1 to 4] -> PNG."""
    return write_pngs(image[None])[0]


def _filtered(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[k, H, W, C] -> lines [k, H, 1 + W * C] as PNG wants them: the filter's number, then the differences."""
    n, height, width, channels = images.shape
    flat = images.reshape(n, height, width * channels)
    lines = np.empty((n, height, 1 + width * channels), np.uint8)
    lines[:, :, 0] = SUB
    lines[:, :, 1 : 1 + channels] = flat[:, :, :channels]
    np.subtract(flat[:, :, channels:], flat[:, :, :-channels], out=lines[:, :, 1 + channels :])
    return lines


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((pack(">I", len(data)), kind, data, pack(">I", isal_zlib.crc32(data, isal_zlib.crc32(kind)))))
