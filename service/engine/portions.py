"""An answer in pieces: what is known before its first row, its rows in order, what is known after the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.engine.rows import Pixels, Rows, Samples, joined

# An answer that lies ready is cut into pieces of about this many bytes: at 28x28 that is 200 to 300 images, enough that
# the hand-over to a thread (0.05 ms) is small beside the PNG (4 ms), and little enough to hold for each request.
PORTION_BYTES = 256 * 2**10


@dataclass(frozen=True)
class Facts:
    """Known before the first row. Sample i of the ``n`` has the index ``offset`` + i among those of its ``seed``.

    ``shape`` of one row: (H, W, C) of an image uint8, (D,) of a point float32, None where nothing is decoded.
    ``method`` is None for rows that no method chose, ``seed`` for unseeded samples.
    """

    model: str
    fingerprint: str
    n: int
    shape: tuple[int, ...] | None
    method: str | None = None
    seed: int | None = None
    offset: int = 0

    @property
    def kind(self) -> Literal["images", "points"] | None:
        """What the rows are called in a file."""
        return None if self.shape is None else "points" if len(self.shape) == 1 else "images"

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.float32]:
        """Of the rows; they must be decoded."""
        assert self.shape is not None
        return np.dtype(np.float32) if len(self.shape) == 1 else np.dtype(np.uint8)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row as it lies in memory; 0 where nothing is decoded."""
        return 0 if self.shape is None else prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Portion:
    """Consecutive rows: latents float32 [k, d], weights float32 [k] (None without a w), rows [k, ...] (or None)."""

    latents: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    rows: Pixels | None

    @property
    def n(self) -> int:
        return len(self.latents)


@dataclass(frozen=True)
class Summary:
    """Known after the last row: what the samples cost (None where no method chose them), and seconds a stage."""

    proposals: int | None = None
    acceptance_rate: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)


def told(facts: Facts, summary: Summary) -> dict[str, object]:
    """What a document says of an answer beside its rows, in this order; what does not apply is left out."""
    document: dict[str, object] = {"model": facts.model}
    if facts.method is not None:
        document |= {"method": facts.method, "seed": facts.seed, "offset": facts.offset}
    document["n"] = facts.n
    if summary.proposals is not None:
        document |= {"proposals": summary.proposals, "acceptance_rate": summary.acceptance_rate}
    return {**document, "fingerprint": facts.fingerprint}


def facts_of(rows: Rows) -> Facts:
    """The facts of an answer that lies ready."""
    shape = None if rows.rows is None else rows.rows.shape[1:]
    facts = Facts(rows.model, rows.fingerprint, rows.n, shape)
    if isinstance(rows, Samples):
        return Facts(rows.model, rows.fingerprint, rows.n, shape, rows.method, rows.seed, rows.offset)
    return facts


def summary_of(rows: Rows) -> Summary:
    """The summary of an answer that lies ready."""
    if isinstance(rows, Samples):
        return Summary(rows.proposals, rows.acceptance_rate, rows.stages)
    return Summary(stages=rows.stages)


def merged(portions: Sequence[Portion]) -> Portion:
    """Consecutive portions as one."""
    if len(portions) == 1:
        return portions[0]
    weights = [portion.weights for portion in portions if portion.weights is not None]
    rows = [portion.rows for portion in portions if portion.rows is not None]
    return Portion(
        np.concatenate([portion.latents for portion in portions]),
        np.concatenate(weights) if weights else None,
        joined(rows) if rows else None,
    )


def cut(rows: Rows, size: int | None = None) -> Iterator[Portion]:
    """An answer that lies ready in portions of ``size`` rows, by default of about PORTION_BYTES; views, no copies."""
    if size is None:
        row = facts_of(rows).row_bytes + rows.latents[:1].nbytes
        size = max(1, PORTION_BYTES // row)
    for start in range(0, rows.n, size):
        part = slice(start, start + size)
        yield Portion(
            rows.latents[part],
            None if rows.weights is None else rows.weights[part],
            None if rows.rows is None else rows.rows[part],
        )
