"""The two unlike classifiers whose features distances are taken in: one that training reads, one that reports quote."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

from models.manifest import NetworkRole
from training.data.dataset import DataError, Dataset


@dataclass(frozen=True)
class FeatureSpace:
    """A classifier to train: its architecture and what that takes beside the classes, seed and epochs."""

    architecture: str
    seed: int
    epochs: int
    config: dict[str, Any] = field(default_factory=dict)


FEATURE_SPACES: dict[NetworkRole, FeatureSpace] = {
    "features": FeatureSpace("branched-features", 1, 4),
    "features_independent": FeatureSpace("residual-features", 2, 5),
}
"""For grey images of 28x28. Training reads the first only; reports quote the second."""
STACKED_SPACES: dict[NetworkRole, FeatureSpace] = {
    "features": FeatureSpace("channel-features", 1, 4, {"body": "lenet"}),
    "features_independent": FeatureSpace("channel-features", 2, 5, {"body": "residual"}),
}
SMALL_EPOCHS = 40
"""Of small images there are few: 40 epochs of the 1,297 digits are 400 steps."""


def feature_spaces_for(data: Dataset) -> dict[NetworkRole, FeatureSpace]:
    """The two unlike classifiers for images of this shape. Raises DataError."""
    shape = tuple(data.samples.shape[1:])
    if shape == (1, 28, 28):
        return FEATURE_SPACES
    if shape == (3, 28, 28):
        return STACKED_SPACES
    if data.is_points or shape[0] != 1 or max(shape) > 28:
        raise DataError(
            f"{data.name}: feature classifiers take grey images of at most 28x28, or three of 28x28 as channels; leave "
            "them out for other data"
        )
    return {
        "features": FeatureSpace("dense-features", 1, SMALL_EPOCHS, {"input_dim": prod(shape)}),
        "features_independent": FeatureSpace("residual-features", 2, SMALL_EPOCHS),
    }
