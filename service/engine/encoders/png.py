"""One image, or a contact sheet of many."""

from __future__ import annotations

from io import BytesIO
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Between the pictures of a sheet, in pixels; level of the gap.
GAP = 2
GAP_LEVEL = 128


def encode_png(images: NDArray[np.uint8]) -> bytes:
    """Images uint8 [n, H, W, 1 or 3] -> PNG: the image itself for n = 1, else a near-square sheet, row by row."""
    return write_png(images[0] if len(images) == 1 else contact_sheet(images))


def contact_sheet(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[n, H, W, C] -> [rows * (H + GAP) - GAP, columns * (W + GAP) - GAP, C]; unused places have the gap's level."""
    n, height, width, channels = images.shape
    columns = ceil(sqrt(n))
    rows = ceil(n / columns)
    cells = np.full((rows * columns, height + GAP, width + GAP, channels), GAP_LEVEL, np.uint8)
    cells[:n, :height, :width] = images
    grid = cells.reshape(rows, columns, height + GAP, width + GAP, channels).swapaxes(1, 2)
    return grid.reshape(rows * (height + GAP), columns * (width + GAP), channels)[:-GAP, :-GAP]


def write_png(image: NDArray[np.uint8]) -> bytes:
    """One picture uint8 [H, W, 1 or 3] -> PNG."""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    buffer = BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()
