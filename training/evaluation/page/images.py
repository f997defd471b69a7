"""Pictures of a report as data URIs: samples, scatter plots, maps."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

LARGEST = 96
"""Pixels of a side; larger images are shrunk, or a page of faces would weigh tens of megabytes."""
JPEG_FROM = 64
PLOT = 360
RAMP = ((38, 20, 84), (44, 88, 140), (33, 145, 140), (110, 205, 88), (250, 231, 60))
"""From low to high, dark to light in equal steps, readable without telling red from green."""


def sample_uri(image: torch.Tensor) -> str:
    """One image uint8 [1 or 3, h, w]."""
    pixels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((LARGEST, LARGEST))
    return _uri(picture, "jpeg" if max(picture.size) > JPEG_FROM else "png")


def scatter_uri(groups: list[tuple[torch.Tensor, tuple[int, int, int]]], edge: float) -> str:
    """Points [n, 2 or more] of each group in its colour on a transparent square from -edge to edge, in order."""
    picture = Image.new("RGBA", (2 * PLOT, 2 * PLOT))
    draw = ImageDraw.Draw(picture)
    for points, colour in groups:
        places = (points[:, :2].double() / edge * torch.tensor([PLOT, -PLOT]) + PLOT).tolist()
        for x, y in places:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(*colour, 150))
    return _uri(picture.resize((PLOT, PLOT)), "png")


def paths_uri(background: torch.Tensor, paths: torch.Tensor, edge: float) -> str:
    """Each of ``paths`` [steps, n, 2] as a line that ends in a dot, over points."""
    picture = Image.new("RGBA", (2 * PLOT, 2 * PLOT))
    draw = ImageDraw.Draw(picture)

    def place(points: torch.Tensor) -> list[tuple[float, float]]:
        pixels = points[:, :2].double() / edge * torch.tensor([PLOT, -PLOT]) + PLOT
        return [(x, y) for x, y in pixels.tolist()]

    for x, y in place(background):
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(128, 128, 128, 60))
    for path in paths.unbind(1):
        line = place(path)
        draw.line(line, fill=(*RAMP[2], 255), width=4)
        x, y = line[-1]
        draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill=(214, 93, 14, 255))
    return _uri(picture.resize((PLOT, PLOT)), "png")


def map_uri(values: torch.Tensor) -> str:
    """[side, side] from the least (dark) to the largest (light)."""
    low, high = float(values.min()), float(values.max())
    scaled = ((values - low) / (high - low) if high > low else torch.zeros_like(values)).numpy()
    return _uri(Image.fromarray(ramp(scaled)), "png")


def ramp(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours uint8 [..., 3] of numbers in [0, 1]."""
    stops = np.linspace(0, 1, len(RAMP))
    channels = [np.interp(shares, stops, [colour[i] for colour in RAMP]) for i in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _uri(picture: Image.Image, kind: str) -> str:
    buffer = BytesIO()
    picture.convert("RGB" if kind == "jpeg" else picture.mode).save(buffer, kind, optimize=True)
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode()}"
