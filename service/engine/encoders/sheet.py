"""A contact sheet: many images in one."""

from __future__ import annotations

from math import ceil, prod, sqrt

import numpy as np
from numpy.typing import NDArray

# Between the pictures of a sheet, in pixels; level of the gap.
GAP = 2
GAP_LEVEL = 128


def contact_sheet(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[n, H, W, C] -> near-square, row by row [rows * (H + GAP) - GAP, columns * (W + GAP) - GAP, C].

    Unused places have the gap's level. n = 1 is the image itself.
    """
    n, height, width, channels = images.shape
    if n == 1:
        single: NDArray[np.uint8] = images[0]
        return single
    columns = ceil(sqrt(n))
    rows = ceil(n / columns)
    cells = np.full((rows * columns, height + GAP, width + GAP, channels), GAP_LEVEL, np.uint8)
    cells[:n, :height, :width] = images
    grid = cells.reshape(rows, columns, height + GAP, width + GAP, channels).swapaxes(1, 2)
    sheet: NDArray[np.uint8] = grid.reshape(rows * (height + GAP), columns * (width + GAP), channels)[:-GAP, :-GAP]
    return sheet


def most_on_a_sheet(shape: tuple[int, ...], size: int, side: int) -> int:
    """How many images (H, W, C) a sheet of at most ``size`` bytes and ``side`` pixels a side holds; 0 for none."""
    if max(shape[:2]) > side:
        return 0
    across = min((side + GAP) // (length + GAP) for length in shape[:2])
    cell = prod(length + GAP for length in shape[:2]) * shape[2]
    return max(1, min(across**2, size // cell))
