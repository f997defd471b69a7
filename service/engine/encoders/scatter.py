"""Points as a picture: a scatter plot of their first two coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 480
MARGIN = 40
DOT_RADIUS = 2
# Above this many points a dot is one pixel: the shape of the cloud matters then, not the single point.
MANY = 2_000
INK = (24, 24, 27)
DOT = (37, 99, 235)
PAPER = (255, 255, 255)


def draw_scatter(points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Points float32 [n, D] -> picture uint8 [SIDE, SIDE, 3], both axes to the same scale, extent in numbers.

    D = 1 is drawn on a line, of D > 2 the first two coordinates. Not finite values are left out.
    """
    plane = np.zeros((len(points), 2), np.float64)
    plane[:, : min(2, points.shape[1])] = points[:, :2]
    plane = plane[np.isfinite(plane).all(axis=1)]
    low, high = window(plane)
    scale = (SIDE - 2 * MARGIN) / (high - low).max()
    picture = Image.new("RGB", (SIDE, SIDE), PAPER)
    draw = ImageDraw.Draw(picture)
    _draw_axes(draw, low, high)
    pixels = MARGIN + (plane - low) * scale
    pixels[:, 1] = SIDE - pixels[:, 1]
    if len(plane) > MANY:
        draw.point([(x, y) for x, y in pixels.tolist()], fill=DOT)
    else:
        for x, y in pixels.tolist():
            draw.ellipse((x - DOT_RADIUS, y - DOT_RADIUS, x + DOT_RADIUS, y + DOT_RADIUS), fill=DOT)
    return np.asarray(picture)


def window(plane: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A square window around points [n, 2], at least 1 wide: corners low [2], high [2]."""
    if not len(plane):
        return np.full(2, -1.0), np.full(2, 1.0)
    low, high = plane.min(axis=0), plane.max(axis=0)
    centre, half = (low + high) / 2, max(float((high - low).max()) / 2, 0.5)
    return centre - half, centre + half


def _draw_axes(draw: ImageDraw.ImageDraw, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    draw.rectangle((MARGIN - 6, MARGIN - 6, SIDE - MARGIN + 6, SIDE - MARGIN + 6), outline=INK)
    base = SIDE - MARGIN + 10
    draw.text((MARGIN, base), f"{low[0]:.3g}", fill=INK)
    draw.text((SIDE - MARGIN, base), f"{high[0]:.3g}", fill=INK, anchor="ra")
    draw.text((4, SIDE - MARGIN - 10), f"{low[1]:.3g}", fill=INK)
    draw.text((4, MARGIN), f"{high[1]:.3g}", fill=INK)
