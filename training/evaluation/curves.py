"""What a report draws besides tables: precision by weight, the histogram of w, class shares."""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch

from training.evaluation.blocks import Rows
from training.metrics.classes import class_shares
from training.metrics.distances import distance_blocks
from training.metrics.neighbours import DEFAULT_K, knn_radii

SLICES, LEAST_SLICE = 20, 25
REAL_ROWS, FAKE_ROWS = 4_096, 10_000
BINS = 40


def marginal_precision(real: torch.Tensor, fake: torch.Tensor, weights: torch.Tensor) -> list[dict[str, float]]:
    """Precision of each further slice of ``fake`` [n, d] as more is kept, those of the largest w [n] first.

    A w that knows bad samples has a curve that falls; the standard error is binomial.
    """
    real, fake = real[:REAL_ROWS], fake[:FAKE_ROWS]
    inside = in_balls(real, knn_radii(real, DEFAULT_K), fake)
    order = weights[: len(fake)].cpu().argsort(descending=True, stable=True)
    slices = max(1, min(SLICES, len(fake) // LEAST_SLICE))
    curve, kept = [], 0
    for part in inside[order].float().tensor_split(slices):
        kept, precision = kept + len(part), float(part.mean())
        error = sqrt(precision * (1 - precision) / len(part))
        curve.append({"kept": kept / len(fake), "precision": precision, "standard_error": error})
    return curve


def in_balls(real: torch.Tensor, radii: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Whether each of ``fake`` [n, d] lies in the ball of at least one of ``real``, bool [n]: what precision counts."""
    inside = torch.zeros(len(fake), dtype=torch.bool)
    for rows, distance in distance_blocks(real, fake):
        inside |= (distance <= radii[rows, None]).any(dim=0)
    return inside


def weight_histogram(weights: torch.Tensor, cap: float) -> dict[str, Any]:
    """Counts of w [n] in equal bins from 0 to the cap, or to the largest w where that is above it."""
    weights = weights.double().cpu()
    top = max(cap, float(weights.max()))
    return {
        "rows": len(weights),
        "cap": cap,
        "top": top,
        "counts": [int(count) for count in torch.histc(weights, BINS, 0, top)],
        "mean": float(weights.mean()),
        "share_above_cap": float((weights > cap).double().mean()),
    }


def shares_of_classes(rows: dict[str, Rows]) -> dict[str, list[float]]:
    """Predicted class shares by name; empty where a space knows no classes."""
    found = {name: part.classes for name, part in rows.items() if part.classes is not None}
    if not found:
        return {}
    count = int(torch.cat(list(found.values())).max()) + 1
    return {name: class_shares(classes, count) for name, classes in found.items()}
