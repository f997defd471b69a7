"""The calibrated log density ratio of data over generator, of decoded proposals: what DRS, MH and SIR read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block
from sampling.draw import Cost
from sampling.randomness import Randomness
from sampling.streams import Stream

LogRatio = Callable[[torch.Tensor], torch.Tensor]
"""Samples [n, ...] -> log density ratios [n]."""


@dataclass(frozen=True)
class CalibratedRatio:
    """log r(x) = slope * score(x) + intercept, from a classifier's raw scores (no sigmoid)."""

    classifier: Callable[[torch.Tensor], torch.Tensor]
    slope: float
    intercept: float

    def __call__(self, samples: torch.Tensor) -> torch.Tensor:
        return self.slope * self.classifier(samples) + self.intercept


def log_ratio_of(bundle: Bundle) -> CalibratedRatio:
    """Of a bundle that has a classifier and its calibration."""
    calibration = bundle.manifest.pilot.classifier
    assert calibration is not None
    return CalibratedRatio(bundle.networks["classifier"], calibration.slope, calibration.intercept)


@dataclass(frozen=True)
class Judged:
    """A block of proposals: latents [block, dim], what they decode to, their log density ratios [block]."""

    latents: torch.Tensor
    samples: torch.Tensor
    log_ratios: torch.Tensor
    cost: Cost


@dataclass(frozen=True)
class Judge:
    """Draws proposals, decodes and scores them; ``importance`` only puts a weight on what comes out."""

    prior: Prior
    generator: Callable[[torch.Tensor], torch.Tensor]
    log_ratio: LogRatio
    importance: ImportanceNetwork | None = None

    def __call__(self, stream: Stream, rng: Randomness) -> Judged:
        latents = self.prior.draw(rng).to(stream.device)
        samples = self.generator(latents)
        cost = Cost(proposals=stream.block, generator_rows=stream.block, critic_rows=stream.block)
        return Judged(latents, samples, self.log_ratio(samples), cost)

    def keep(self, judged: Judged, proposals: torch.Tensor, units: torch.Tensor, above_bound: int = 0) -> Block:
        """The ``proposals`` at these places (int64 [k]) as a block, decoded once; ``units`` [k] gave them."""
        latents = judged.latents[proposals]
        weights = None if self.importance is None else self.importance(latents)
        read = 0 if weights is None else len(proposals)
        cost = judged.cost + Cost(accepted=len(proposals), importance_rows=read, above_bound=above_bound)
        return Block(latents, weights, cost, units, samples=judged.samples[proposals])


def judge_of(bundle: Bundle) -> Judge:
    return Judge(bundle.prior, bundle.generator, log_ratio_of(bundle), bundle.importance)


def whole_sets(candidates: int, rows: int) -> int:
    """The block that holds as many whole sets of ``candidates`` proposals as fit into ``rows``, and one at least."""
    return candidates * max(1, rows // candidates)
