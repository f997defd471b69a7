"""Class balance: shares of labels and the total variation between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose

import torch


def class_shares(labels: torch.Tensor, classes: int) -> list[float]:
    """Share of each class 0 .. classes - 1 in integer labels [n]; sums to 1. Raises ValueError."""
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integers [n], not {labels.dtype} {list(labels.shape)}; take argmax of scores")
    if len(labels) == 0:
        raise ValueError("there are no labels; classify at least one sample")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(f"labels lie in {low} .. {high}, outside 0 .. {classes - 1}; check the number of classes")
    counts = torch.bincount(labels.long(), minlength=classes)
    return [count / len(labels) for count in counts.tolist()]


def total_variation(first: Sequence[float], second: Sequence[float]) -> float:
    """Half the sum of |p - q| over the classes, in [0, 1]: the mass that would have to move. Raises ValueError."""
    if len(first) != len(second):
        raise ValueError(f"the shares have {len(first)} and {len(second)} classes; use one number of classes for both")
    for shares in (first, second):
        if not isclose(sum(shares), 1.0, abs_tol=1e-6) or min(shares) < 0:
            raise ValueError(f"shares must be non-negative and sum to 1, not {sum(shares)}; divide counts by their sum")
    return 0.5 * sum(abs(p - q) for p, q in zip(first, second, strict=True))
