"""Every metric of generated rows against one block of real ones, in one feature space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import nn

from models.features import FeatureClassifier
from training.features import classes_of, features_of
from training.metrics.classes import class_shares, total_variation
from training.metrics.discrepancy import energy_distance, kid, ladder_distance
from training.metrics.fid import fid
from training.metrics.hausdorff import average_hausdorff
from training.metrics.neighbours import density_coverage, precision_recall, recall
from training.metrics.transport import emd

HIGHER_IS_BETTER = ("precision", "recall", "dense_recall", "density", "coverage")

PAIRED_PER_REAL = 10
"""Rows of which all pairs are compared, to each real one."""
MATCHED_SETS = 5
"""Sets of generated rows that the real ones are matched with, one after the other: of images the chance of one set
would be more than half of an EMD's interval."""


@dataclass(frozen=True)
class Space:
    """A feature space: ``network`` None means raw coordinates; ``role`` says whether training saw it."""

    name: str
    role: str
    network: nn.Module | None

    def features(self, samples: torch.Tensor, device: torch.device) -> torch.Tensor:
        return features_of(self.network, samples, device)

    def classes(self, features: torch.Tensor, device: torch.device) -> torch.Tensor | None:
        """Predicted classes of rows with these features, where the space is a classifier's."""
        return classes_of(self.network, features, device) if isinstance(self.network, FeatureClassifier) else None


@dataclass(frozen=True)
class Rows:
    """Features [n, f] and, where known, classes [n] of samples in one space; ``raw``: the samples' own coordinates."""

    features: torch.Tensor
    classes: torch.Tensor | None
    raw: bool = False

    def __getitem__(self, rows: slice) -> Rows:
        return replace(self, features=self.features[rows], classes=None if self.classes is None else self.classes[rows])

    @staticmethod
    def joined(parts: list[Rows]) -> Rows:
        """One after the other."""
        classes = [part.classes for part in parts if part.classes is not None]
        features = torch.cat([part.features for part in parts])
        return Rows(features, torch.cat(classes) if classes else None, parts[0].raw)


def rows_of(space: Space, samples: torch.Tensor, device: torch.device) -> Rows:
    """``samples`` (uint8 images, float images or points) as the space sees them."""
    features = space.features(samples, device)
    return Rows(features, space.classes(features, device), space.network is None)


def matched_sets(real: int, rows: int) -> int:
    """With how many disjoint sets of ``rows`` generated ones ``real`` rows are matched."""
    return max(1, min(MATCHED_SETS, rows // real))


def measure(real: Rows, fake: Rows, dense: int = 0) -> dict[str, float]:
    """All metrics of ``fake`` against the n rows of ``real``; energy distance and KID are unbiased, may be negative.

    FID uses every generated row, the unbiased ones the first 10 n: beyond, their noise is the real rows'. EMD is the
    mean over as many of five disjoint sets of n as there are. What counts neighbours or compares class shares uses the
    first n, as its published form does. Raw coordinates have the ladder distance as well: KID's cubic kernel and plain
    distances see hardly how narrow a mode is; and, where ``dense`` > n, recall with the balls of that many generated
    rows: those of n between modes reach into the modes.
    """
    x, every = real.features, fake.features
    many = every[: PAIRED_PER_REAL * len(x)]
    sets = every[: matched_sets(len(x), len(every)) * len(x)].split(len(x))
    fake = fake[: len(x)]
    y = fake.features
    neighbours, ties = precision_recall(x, y), density_coverage(x, y)
    values = {
        "fid": fid(x, every),
        "energy_distance": energy_distance(x, many),
        "kid": kid(x, many),
        "emd": fmean(emd(x, rows) for rows in sets),
        "emd_squared": fmean(emd(x, rows, power=2) for rows in sets),
        "precision": neighbours.precision,
        "recall": neighbours.recall,
        "density": ties.density,
        "coverage": ties.coverage,
        "average_hausdorff": average_hausdorff(x, y),
    }
    if real.raw:
        values["ladder_distance"] = ladder_distance(x, many)
        if dense > len(x):
            values["dense_recall"] = recall(x, every[:dense])
    if real.classes is not None and fake.classes is not None:
        count = int(torch.cat([real.classes, fake.classes]).max()) + 1
        values["class_total_variation"] = total_variation(
            class_shares(real.classes, count), class_shares(fake.classes, count)
        )
    return values
