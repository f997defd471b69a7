"""What ``simplicial`` needs of a pilot run: its seeds, and the quantiles of its score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from models.bundle import Bundle
from models.features import FeatureClassifier
from models.pilot import SimplicialPilot
from sampling.simplicial import simplicial_score
from training.data.dataset import Dataset, as_network_input
from training.errors import TrainingRefused
from training.features import predicted_classes
from training.pilot.latents import over_latents, score_quantiles

ROWS = 100_000
"""An acceptance of 0.01 is then met within 3% of itself (one standard error); no network is run."""
BLOCK = 10_000
FIT_ROWS = 20_000
FIT_BLOCK = 500
FIT_STREAM = 5_000_011
"""Added to the seed: latents that the seeds were fitted to lie closer to them than fresh ones do."""
LEAST_OF_A_CLASS = 30
"""A class whose mean latent rests on fewer rows has a seed that is mostly chance."""

Classify = Callable[[torch.Tensor], torch.Tensor]
"""Samples [n, ...] on the generator's device -> classes, int64 [n]."""


def simplicial_pilot(
    bundle: Bundle, seeds: torch.Tensor, kind: Literal["regular", "fitted"], seed: int, rows: int = ROWS
) -> SimplicialPilot:
    """Score ``rows`` latents of ``bundle`` against ``seeds`` [k, dim]. Raises TrainingRefused."""
    device = next(bundle.generator.parameters()).device
    placed = seeds.to(device)
    scores = over_latents(bundle, lambda z: simplicial_score(z, placed), rows, BLOCK, seed)
    return SimplicialPilot(
        rows=rows,
        seed=seed,
        quantiles=score_quantiles(scores, "the simplicial score"),
        kind=kind,
        radius=float(seeds.norm(dim=1).mean()),
        seeds=tuple(tuple(vector.tolist()) for vector in seeds),
    )


def fitted_seeds(bundle: Bundle, classify: Classify, seed: int, rows: int = FIT_ROWS) -> torch.Tensor:
    """The mean latent of each class that the generator makes, float32 [classes, dim]. Raises TrainingRefused."""

    def evaluate(z: torch.Tensor) -> torch.Tensor:
        return torch.cat([z, classify(bundle.generator(z))[:, None].to(z)], dim=1)

    labelled = over_latents(bundle, evaluate, rows, FIT_BLOCK, seed + FIT_STREAM)
    latents, classes = labelled[:, :-1].double(), labelled[:, -1].long()
    counts = classes.bincount()
    common = (counts >= LEAST_OF_A_CLASS).nonzero().squeeze(1)
    if len(common) < 2:
        raise TrainingRefused(f"{bundle.name} makes samples of one class only: seeds for simplicial need at least two")
    return torch.stack([latents[classes == label].mean(0) for label in common]).float()


def classifier_of(bundle: Bundle, data: Dataset | None) -> Classify | None:
    """How samples of ``bundle`` are told apart: its feature classifier, else the nearest class mean of labelled points.

    None where there is neither. For a mixture of equal round Gaussians the nearest mean is the best possible rule.
    """
    network = bundle.networks.get("features")
    if isinstance(network, FeatureClassifier):
        return _by_network(network)
    if data is None or data.labels is None or bundle.manifest.output.kind != "points":
        return None
    points, labels = as_network_input(data.samples), data.labels
    means = torch.stack([points[labels == label].mean(0) for label in labels.unique()])
    return lambda samples: torch.cdist(samples, means.to(samples.device)).argmin(1)


def _by_network(network: nn.Module) -> Classify:
    return lambda samples: predicted_classes(network, samples, samples.device)
