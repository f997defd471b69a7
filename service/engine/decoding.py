"""The generator, and its output as the bytes that leave the server."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import Bundle
from models.pixels import to_uint8


@torch.inference_mode()
def decode(bundle: Bundle, latents: torch.Tensor) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Latents [k, d] -> images uint8 [k, H, W, C] or points float32 [k, D].

    Raises FloatingPointError for output that is not finite, and whatever the generator raises.
    """
    samples = bundle.generator(latents)
    if not bool(torch.isfinite(samples).all()):
        raise FloatingPointError("the generator gave NaN or infinite values")
    return to_rows(bundle, samples)


@torch.inference_mode()
def to_rows(bundle: Bundle, samples: torch.Tensor) -> NDArray[np.uint8] | NDArray[np.float32]:
    """The generator's output [k, ...], finite, -> images uint8 [k, H, W, C] or points float32 [k, D]."""
    if bundle.manifest.output.kind == "points":
        points: NDArray[np.float32] = samples.to(torch.float32).numpy()
        return points
    assert bundle.manifest.output.range is not None
    low, high = bundle.manifest.output.range
    images: NDArray[np.uint8] = to_uint8(samples, low, high).permute(0, 2, 3, 1).contiguous().numpy()
    return images
