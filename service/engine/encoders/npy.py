"""numpy's array file, streamed: its shape is known before its first row."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np

from service.engine.portions import Facts, Portion, Summary


def npy_header(facts: Facts) -> bytes:
    """The header of images uint8 [n, H, W, C] or points float32 [n, D]."""
    assert facts.shape is not None
    buffer = BytesIO()
    described = {
        "descr": np.lib.format.dtype_to_descr(facts.dtype),
        "fortran_order": False,
        "shape": (facts.n, *facts.shape),
    }
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


def npy_length(facts: Facts) -> int:
    """Bytes of the whole file."""
    return len(npy_header(facts)) + facts.n * facts.row_bytes


@dataclass(frozen=True)
class NpyWriter:
    """The rows alone: latents, weights and the summary have no place in an array."""

    facts: Facts

    def start(self) -> bytes:
        return npy_header(self.facts)

    def add(self, portion: Portion) -> bytes:
        assert portion.rows is not None
        return portion.rows.astype(self.facts.dtype, copy=False).tobytes()

    def finish(self, summary: Summary) -> bytes:
        del summary
        return b""
