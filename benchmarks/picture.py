"""The picture of the README: 64 samples of the prior beside 64 of latentRS, from the same seed, nothing chosen by hand.

python -m benchmarks.picture bundles/fashion-mnist docs/prior-and-latentrs.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image

from models.bundle import Bundle, load_bundle
from models.pixels import to_uint8
from sampling.latentrs import sample_latentrs
from sampling.prior import sample_prior
from sampling.streams import BlockStream

SEED, SIDE, BLOCK, ENLARGE, GAP = 0, 8, 4_096, 2, 24


def main(folder: str, out: str) -> None:
    bundle = load_bundle(Path(folder))
    assert bundle.importance is not None
    n = SIDE * SIDE
    prior = sample_prior(bundle.prior, None, n, BlockStream(SEED, BLOCK)).latents
    kept = sample_latentrs(bundle.prior, bundle.importance, n, BlockStream(SEED, BLOCK)).latents
    left, right = sheet(bundle, prior), sheet(bundle, kept)
    picture = Image.new("L", (left.width + GAP + right.width, left.height), 255)
    picture.paste(left, (0, 0))
    picture.paste(right, (left.width + GAP, 0))
    picture.save(out, optimize=True)


@torch.no_grad()
def sheet(bundle: Bundle, latents: torch.Tensor) -> Image.Image:
    """SIDE x SIDE grey images, each pixel enlarged."""
    images = to_uint8(bundle.generator(latents))[:, 0]
    height, width = images.shape[1:]
    grid = images.view(SIDE, SIDE, height, width).permute(0, 2, 1, 3).reshape(SIDE * height, SIDE * width)
    size = (SIDE * width * ENLARGE, SIDE * height * ENLARGE)
    return Image.fromarray(grid.numpy()).resize(size, Image.Resampling.NEAREST)


if __name__ == "__main__":
    main(*sys.argv[1:])
