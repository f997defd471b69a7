"""Methods side by side: the same disjoint blocks of held-out data, paired differences with 97% intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.evaluation.blocks import PAIRED_PER_REAL, Rows, measure
from training.metrics.intervals import Interval, paired_difference, student_interval

BLOCKS = 10


@dataclass(frozen=True)
class Table:
    """``values[method][metric]`` is one number a block."""

    values: dict[str, dict[str, list[float]]]
    block_rows: int

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Mean and half width of the 97% Student interval over blocks."""
        return {
            method: {metric: _as_dict(student_interval(numbers)) for metric, numbers in metrics.items()}
            for method, metrics in self.values.items()
        }

    def paired(self, method: str, base: str) -> dict[str, dict[str, float]]:
        """``method`` minus ``base`` block by block, with the change relative to the base's mean."""
        rows: dict[str, dict[str, float]] = {}
        for metric, numbers in self.values[method].items():
            reference = self.values[base][metric]
            mean = sum(reference) / len(reference)
            relative = {"relative": (sum(numbers) / len(numbers) - mean) / abs(mean)} if mean else {}
            rows[metric] = _as_dict(paired_difference(numbers, reference)) | relative
        return rows


def compare(real: Rows, floor: Rows, generated: Mapping[str, Rows], blocks: int = BLOCKS) -> Table:
    """Measure each method on ``blocks`` disjoint blocks of ``real``; "floor" is other real data in the fakes' place.

    Each set is cut into equal blocks in order: real blocks as large as the smallest set allows, generated ones as
    large as their own set allows, so that ten generated rows may stand against each real one. Recall is dense with as
    many as the smallest of them has.
    """
    candidates = {"floor": floor, **generated}
    size = min(len(real.features), *(len(rows.features) for rows in candidates.values())) // blocks
    dense = min(PAIRED_PER_REAL * size, *(len(rows.features) // blocks for rows in candidates.values()))
    values: dict[str, dict[str, list[float]]] = {method: {} for method in candidates}
    for block in range(blocks):
        cut = slice(block * size, (block + 1) * size)
        for method, rows in candidates.items():
            own = len(rows.features) // blocks
            for metric, value in measure(real[cut], rows[block * own : (block + 1) * own], dense).items():
                values[method].setdefault(metric, []).append(value)
    return Table(values, size)


def _as_dict(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "half_width": interval.half_width}
