"""How many rows a format that must hold its answer whole may hold."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from models.bundle import Bundle
from models.manifest import OutputSpec
from service.engine.encoders.numbers import NUMBER_BYTES
from service.engine.encoders.sheet import most_on_a_sheet

# PNG's own overhead, before base64 makes it a third longer.
PNG_OVERHEAD_BYTES = 100
# One point of a scatter plot, while it is drawn.
DOT_BYTES = 64


@dataclass(frozen=True)
class Limits:
    """Images and bytes (before compression) of a contact sheet, bytes of an npz or safetensors file, of a document."""

    sheet_rows: int = 4_096
    sheet_bytes: int = 64 * 2**20
    npz_bytes: int = 256 * 2**20
    json_bytes: int = 16 * 2**20


def row_shape(output: OutputSpec) -> tuple[int, ...]:
    """(C, H, W) of the manifest -> (H, W, C) of the decoded rows; (D,) of points."""
    return (*output.shape[1:], output.shape[0]) if output.kind == "image" else output.shape


def most_in_picture(side: int, bundle: Bundle, limits: Limits, images: bool) -> int:
    """For pictures of at most ``side`` pixels a side; 0 where not even one image fits."""
    del images
    if bundle.manifest.output.kind == "points":
        return limits.npz_bytes // DOT_BYTES
    shape = row_shape(bundle.manifest.output)
    return min(limits.sheet_rows, most_on_a_sheet(shape, limits.sheet_bytes, side))


def most_in_arrays(bundle: Bundle, limits: Limits, images: bool) -> int:
    """For rows, latents and weights as they lie in memory."""
    del images
    output = bundle.manifest.output
    row = prod(output.shape) * (1 if output.kind == "image" else 4) + 4 * bundle.prior.dim + 4
    return max(1, limits.npz_bytes // row)


def most_in_document(bundle: Bundle, limits: Limits, images: bool) -> int:
    """For numbers as text, ``images`` with the decoded rows."""
    output = bundle.manifest.output
    values, row = prod(output.shape), NUMBER_BYTES * (bundle.prior.dim + 1)
    if images:
        row += (values + PNG_OVERHEAD_BYTES) * 4 // 3 if output.kind == "image" else NUMBER_BYTES * values
    return max(1, limits.json_bytes // row)
