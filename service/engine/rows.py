"""What is asked of the engine and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.float32]


def joined(parts: Sequence[Pixels]) -> Pixels:
    """Rows of one kind, one after the other."""
    if len(parts) == 1:
        return parts[0]
    rows: Pixels = np.concatenate(parts)  # type: ignore[assignment]
    return rows


@dataclass(frozen=True)
class SampleRequest:
    """``n`` samples; without ``decode`` only latents and weights, which most methods do without a generator row.

    ``parameters``: the method's own, by name, as values or as text; what is missing has the method's default.
    ``offset``: of a seeded request, the index of the first sample. ``timeout``: seconds after which nobody wants the
    answer any more, None for never.
    """

    n: int
    model: str | None = None
    method: str | None = None
    seed: int | None = None
    decode: bool = True
    parameters: Mapping[str, object] = field(default_factory=dict)
    offset: int = 0
    timeout: float | None = None


@dataclass(frozen=True)
class Rows:
    """Latents float32 [n, ...], weights float32 [n, ...] (None without a w), rows (None if not decoded).

    ``rows`` are images uint8 [n, H, W, C] or points float32 [n, D]. ``stages``: seconds a stage.
    """

    model: str
    latents: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    rows: Pixels | None
    fingerprint: str
    stages: dict[str, float]

    @property
    def n(self) -> int:
        return len(self.latents)


@dataclass(frozen=True)
class Samples(Rows):
    """Rows that a method chose. ``proposals`` is what they cost: exact for a seeded request, this request's share of
    shared blocks otherwise. ``expected_acceptance``: accepted over proposals by the bundle's calibration, or None."""

    method: str
    seed: int | None
    proposals: int
    acceptance_rate: float
    expected_acceptance: float | None
    offset: int = 0
