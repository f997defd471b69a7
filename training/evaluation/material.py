"""What the pictures of a report are made of: samples with their weights, paths of the ascent, nearest training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from models.bundle import Bundle
from sampling.ascent import trajectory
from sampling.draw import Cost, Draw
from sampling.latentrs import sample_latentrs
from sampling.methods import ascent_of
from sampling.prior import sample_prior
from sampling.streams import BlockStream
from training.data.dataset import Dataset, as_network_input
from training.evaluation.drawing import SIZES, decode, stream_seed
from training.metrics.distances import FAST

ROWS = {"image": 640, "points": 4_000}
SEED_INDEX = 40
"""Streams of pictures lie behind those of methods and other weights."""
CLIMBING, SHOWN_STEPS = 6, 6
HIGHEST, TEST_ROWS = 12, 500
EXTREME = 0.05
TRAIN_BLOCK = 2_000
MAP_SIDE = 96
NORMAL_EDGE = 3.0
"""Of a latent map with a normal prior: 99.5% of its latents lie inside, in the plane."""
REAL_SHOWN = 4_000


@dataclass(frozen=True)
class Nearest:
    """The samples of largest w: ``index`` of the nearest training row and the Euclidean ``distance``, raw values."""

    samples: torch.Tensor
    index: torch.Tensor
    distance: torch.Tensor
    test_distance: torch.Tensor


@dataclass(frozen=True)
class LatentMap:
    """Of a plane of latents, [side, side], first row at the top: distance of the sample to data, and w."""

    distance: torch.Tensor
    weight: torch.Tensor
    edge: float


@dataclass(frozen=True)
class Material:
    """``samples`` of the prior, largest weight first, with ``weights``; ``path`` [steps, rows, ...] of the ascent."""

    samples: torch.Tensor
    weights: torch.Tensor
    cap: float
    after: torch.Tensor
    path: torch.Tensor
    path_weights: torch.Tensor
    nearest: Nearest
    train: Dataset
    latent_map: LatentMap | None

    @property
    def extreme(self) -> int:
        """Rows of the worst and of the best share."""
        return max(1, int(EXTREME * len(self.samples)))

    def acceptance(self, weights: torch.Tensor) -> torch.Tensor:
        """The probability with which latentRS accepts."""
        return (weights / self.cap).clamp(max=1)

    def numbers(self) -> dict[str, Any]:
        """What the page says beside its pictures."""
        accepted, climbed = self.acceptance(self.weights), self.acceptance(self.path_weights)
        own, test = float(self.nearest.distance.median()), float(self.nearest.test_distance.median())
        return {
            "rows": len(self.samples),
            "acceptance_of_best": float(accepted[: self.extreme].mean()),
            "acceptance_of_worst": float(accepted[-self.extreme :].mean()),
            "ascent": {"start": float(climbed[0].mean()), "end": float(climbed[-1].mean())},
            "memorisation": {
                "samples": len(self.nearest.distance),
                "median_distance_to_training": own,
                "median_distance_of_test_rows": test,
                "ratio": own / test if test > 0 else None,
            },
        }


def gather(bundle: Bundle, train: Dataset, test: Dataset, seed: int, device: torch.device) -> Material:
    """Material of ``bundle``, which has weights; nothing is chosen by hand."""
    assert bundle.importance is not None
    n = ROWS[bundle.manifest.output.kind]
    stream = BlockStream(stream_seed(seed, SEED_INDEX), SIZES.latents, device)
    drawn = sample_prior(bundle.prior, bundle.importance, n, stream)
    assert drawn.weights is not None
    order = drawn.weights.argsort(descending=True, stable=True)
    samples = decode(bundle, _with_latents(drawn.latents[order]))
    stream = BlockStream(stream_seed(seed, SEED_INDEX + 1), SIZES.latents, device)
    after = decode(bundle, sample_latentrs(bundle.prior, bundle.importance, n, stream))
    # The first rows as they were drawn, not the worst: a path is shown for an average latent.
    climb = trajectory(bundle.prior, bundle.importance, drawn.latents[:CLIMBING], ascent_of(bundle))
    steps = torch.linspace(0, len(climb.latents) - 1, SHOWN_STEPS).round().long().unique()
    path = decode(bundle, _with_latents(climb.latents[steps].flatten(0, 1)))
    return Material(
        samples=samples,
        weights=drawn.weights[order].cpu(),
        cap=bundle.importance.cap,
        after=after,
        path=path.view(len(steps), -1, *path.shape[1:]),
        path_weights=climb.weights[steps].cpu(),
        nearest=nearest_training(samples[:HIGHEST], train, test),
        train=train,
        latent_map=latent_map(bundle, train, device),
    )


def nearest_training(samples: torch.Tensor, train: Dataset, test: Dataset) -> Nearest:
    """A w that favoured copies would bring its best samples nearer to the training data than test rows lie."""
    distance, index = _nearest(samples, train.samples)
    return Nearest(samples, index, distance, _nearest(test.samples[:TEST_ROWS], train.samples)[0])


def _nearest(rows: torch.Tensor, train: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = as_network_input(rows).flatten(1)
    parts = [torch.cdist(flat, as_network_input(block).flatten(1), compute_mode=FAST).min(1)
             for block in train.split(TRAIN_BLOCK)]  # fmt: skip
    values, where = torch.stack([part.values for part in parts]), torch.stack([part.indices for part in parts])
    distance, block = values.min(0)
    return distance, where.gather(0, block[None])[0] + block * TRAIN_BLOCK


@torch.no_grad()
def latent_map(bundle: Bundle, train: Dataset, device: torch.device) -> LatentMap | None:
    """Of bundles that make points: the plane of the first two latent coordinates, the others 0."""
    dim = bundle.prior.dim
    if bundle.manifest.output.kind != "points" or dim < 2:
        return None
    assert bundle.importance is not None
    edge = 1.0 if bundle.prior.kind == "uniform" else NORMAL_EDGE
    axis = torch.linspace(-edge, edge, MAP_SIDE)
    plane = torch.zeros(MAP_SIDE**2, dim)
    plane[:, :2] = torch.cartesian_prod(axis.flip(0), axis).flip(1)  # rows from the top, columns from the left
    samples = decode(bundle, _with_latents(plane.to(device)))
    distance, _ = _nearest(samples, train.samples)
    weight = bundle.importance(plane.to(device)).cpu()
    return LatentMap(distance.view(MAP_SIDE, -1), weight.view(MAP_SIDE, -1), edge)


def _with_latents(latents: torch.Tensor) -> Draw:
    return Draw(latents, None, Cost())
