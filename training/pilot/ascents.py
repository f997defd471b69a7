"""How far ``latentga`` and ``latentrsga`` climb: until what they decode is closest to real rows.

log w is the velocity potential with which the prior's mass starts to flow towards w times the prior (the gradient flow
of their KL divergence in Wasserstein distance, Jordan et al. 1998), so the first steps of an ascent bring the samples
closer to the data. The potential is not learned anew on the way: further steps pile the mass up on the maxima of w.
After rejection there is less left to climb. No number of steps suits every w, so it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import torch

from models.bundle import Bundle
from sampling.ascent import AscentParameters, trajectory
from sampling.latentrs import LatentRSParameters
from sampling.latentrsga import LatentRSGAParameters
from sampling.methods import bind, check_defaults, with_defaults
from sampling.sampler import Sampler, draw
from sampling.streams import BlockStream
from training.errors import TrainingRefused
from training.evaluation.drawing import SIZES
from training.features import features_of
from training.weights.held_out import YARDSTICK
from training.weights.kernels import Discrepancy, discrepancy
from training.weights.problem import POOL_BLOCK, Problem
from training.weights.train import SURE

METHODS = ("latentga", "latentrsga")
STEPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
PATIENCE = 2
"""Looks in a row that are further from the data than the closest: the climb is over."""
ROWS, ROWS_PER_REAL = 5_000, 4
"""At most so many latents, and no more to each real row: beyond, the noise is that of the real rows."""
BLOCK = 1_000
SEED = 2_000_004
"""Offset from the seed given: latents that no training draws."""


@dataclass(frozen=True)
class Climb:
    """``distances``: from the real rows after so many steps, as far as was looked; 0 steps are the start.

    ``error``: the standard error of ``gain``.
    """

    distances: Mapping[int, float]
    error: float

    @property
    def closest(self) -> int:
        return min(self.distances, key=self.distances.__getitem__)

    @property
    def gain(self) -> float:
        """How far the smallest distance lies below that of the start."""
        return self.distances[0] - self.distances[self.closest]

    @property
    def pays(self) -> bool:
        """By the rule that weights have to meet: the gain stands out of its noise."""
        return self.gain > SURE * self.error

    @property
    def steps(self) -> int:
        """For the bundle's defaults: of the smallest distance, or the mildest ascent that there is."""
        return self.closest if self.pays else 1


@dataclass(frozen=True)
class Look:
    """Energy distance of generated rows from real ones, unbiased, but for the real rows' own ``spread``.

    ``spread``: mean distance of two generated rows. ``generated`` [n], ``real`` [m]: the first-order influence of each.
    """

    distance: float
    spread: float
    generated: torch.Tensor
    real: torch.Tensor

    def error_beside(self, start: Look) -> float:
        """Standard error of the difference between this distance and that of ``start``, the same latents earlier."""
        parts = self.generated - start.generated, self.real - start.real
        return sqrt(sum(float(part.var()) / len(part) for part in parts))


def measure_climbs(bundle: Bundle, problem: Problem, seed: int) -> dict[str, Climb]:
    """Climbs of latents of ``bundle`` towards ``problem.real``, rows that w has not read, in the problem's features.

    By method; all but the steps are the bundle's defaults. The latents are the same for every number of steps. Raises
    TrainingRefused, RejectionStalled.
    """
    assert bundle.importance is not None
    try:
        check_defaults(bundle)
        found = {method: _start_of(bundle, method) for method in METHODS}
    except ValueError as error:  # MethodUnavailable is one
        raise TrainingRefused(f"{bundle.name}: {error}") from error
    real = features_of(problem.features, problem.real.samples, problem.device).to(problem.device)
    rho, rows = discrepancy(YARDSTICK, real), min(ROWS, ROWS_PER_REAL * len(real))
    own = _look(real, real, rho).spread
    climbs = {}
    for method, (sampler, parameters) in found.items():
        stream = BlockStream(seed + SEED, sampler.block, problem.device)
        latents = draw(sampler.method, sampler.propose, rows, stream).latents
        path = trajectory(bundle.prior, bundle.importance, latents, parameters)
        climbs[method] = _until_worse(path.latents, problem, real, rho, own)
    return climbs


def _start_of(bundle: Bundle, method: str) -> tuple[Sampler, AscentParameters]:
    """What draws the latents that ``method`` climbs from, and its longest ascent. Raises ValueError."""
    usual = with_defaults(bundle, method)
    assert isinstance(usual, AscentParameters)
    longest = usual.model_copy(update={"steps": STEPS[-1]})
    if isinstance(usual, LatentRSGAParameters):
        return bind(bundle, "latentrs", LatentRSParameters(acceptance=usual.acceptance), SIZES), longest
    return bind(bundle, "prior", None, SIZES), longest


def _until_worse(path: torch.Tensor, problem: Problem, real: torch.Tensor, rho: Discrepancy, own: float) -> Climb:
    """Of the latents ``path`` [steps + 1, n, d]; ``real`` [m, f] in features whose distance is ``rho``, ``own`` their
    own spread."""
    looks: dict[int, Look] = {}
    for steps in STEPS:
        blocks = path[steps].split(POOL_BLOCK)
        features = torch.cat([features_of(problem.features, problem.generate(z), problem.device) for z in blocks])
        if not torch.isfinite(features).all():
            raise TrainingRefused("the generator or the feature network gives NaN or infinity on the way of an ascent")
        looks[steps] = _look(features.to(problem.device), real, rho)
        closest = min(looks, key=lambda at: looks[at].distance)
        if STEPS.index(steps) - STEPS.index(closest) == PATIENCE:
            break
    distances = {at: look.distance - own for at, look in looks.items()}
    return Climb(distances, looks[closest].error_beside(looks[0]))


def _look(features: torch.Tensor, real: torch.Tensor, rho: Discrepancy) -> Look:
    """2 mean rho(x, y) - mean rho(y, y'), y and y' never the same row."""
    n, toward = len(features), torch.zeros(len(real), dtype=torch.float64, device=real.device)
    cross, within = [], []
    for start in range(0, n, BLOCK):
        rows = features[start : start + BLOCK]
        across, among = rho(rows, real).double(), rho(rows, features).double()
        among[:, start : start + BLOCK].fill_diagonal_(0.0)
        cross.append(across.mean(1))
        within.append(among.sum(1) / (n - 1))
        toward += across.sum(0)
    to_real, to_others = torch.cat(cross), torch.cat(within)
    spread = float(to_others.mean())
    return Look(2 * float(to_real.mean()) - spread, spread, 2 * (to_real - to_others), 2 * toward / n)
