"""Methods side by side: the same disjoint blocks of held-out data, paired differences with 97% intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.evaluation.blocks import HIGHER_IS_BETTER, Rows, measure
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
    large as their own set allows, so that ten generated rows may stand against each real one.
    """
    candidates = {"floor": floor, **generated}
    size = min(len(real.features), *(len(rows.features) for rows in candidates.values())) // blocks
    values: dict[str, dict[str, list[float]]] = {method: {} for method in candidates}
    for block in range(blocks):
        cut = slice(block * size, (block + 1) * size)
        for method, rows in candidates.items():
            own = len(rows.features) // blocks
            for metric, value in measure(real[cut], rows[block * own : (block + 1) * own]).items():
                values[method].setdefault(metric, []).append(value)
    return Table(values, size)


@dataclass(frozen=True)
class Criterion:
    """What "better" must mean before it is claimed: at least ``effect`` of the base's mean, beyond the interval."""

    metric: str
    effect: float

    def judge(self, table: Table, method: str, base: str) -> dict[str, Any]:
        row = table.paired(method, base)[self.metric]
        sign = -1.0 if self.metric in HIGHER_IS_BETTER else 1.0
        base_mean = table.summary()[base][self.metric]["mean"]
        worst = sign * row["mean"] + row["half_width"]
        return {
            "metric": self.metric,
            "minimum_effect": self.effect,
            "difference": row["mean"],
            "half_width": row["half_width"],
            "passed": worst <= -self.effect * abs(base_mean),
        }


MINIMUM_EFFECTS = (Criterion("fid", 0.05), Criterion("energy_distance", 0.10), Criterion("kid", 0.10))
"""FID, and one of the two unbiased distances."""
MAX_RECALL_LOSS = 0.03


def verdict(table: Table, method: str, base: str = "prior") -> dict[str, Any]:
    """Whether ``method`` may be called better than ``base`` in this space, criterion by criterion.

    The ends of the 97% intervals decide: FID and an unbiased distance better by more than their minimum effect,
    recall down by no more than the limit, EMD not below the real-real floor (that would be shrinking towards
    average samples, not quality).
    """
    improvements = [criterion.judge(table, method, base) for criterion in MINIMUM_EFFECTS]
    fid, *unbiased = (bool(item["passed"]) for item in improvements)
    recall = table.paired(method, base)["recall"]
    above_floor = table.paired(method, "floor")["emd"]
    checks = {
        "recall_kept": recall["mean"] - recall["half_width"] >= -MAX_RECALL_LOSS,
        "emd_not_below_floor": above_floor["mean"] + above_floor["half_width"] >= 0,
    }
    return {
        "improvements": improvements,
        "recall_change": recall,
        "max_recall_loss": MAX_RECALL_LOSS,
        "emd_above_floor": above_floor,
        **checks,
        "passed": fid and any(unbiased) and all(checks.values()),
    }


def _as_dict(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "half_width": interval.half_width}
