"""How far ``latentga`` and ``latentrsga`` climb: until what they decode is closest to real rows.

log w is the velocity potential with which the prior's mass starts to flow towards w times the prior (the gradient flow
of their KL divergence in Wasserstein distance, Jordan et al. 1998), so the first steps of an ascent bring the samples
closer to the data. The potential is not learned anew on the way: further steps pile the mass up on the maxima of w.
After rejection there is less left to climb. No number of steps suits every w, so it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from models.bundle import Bundle
from sampling.ascent import AscentParameters, trajectory
from sampling.methods import bind, with_defaults
from sampling.sampler import draw
from sampling.streams import BlockStream
from training.evaluation.drawing import SIZES
from training.features import features_of
from training.weights.held_out import YARDSTICK, HeldOutEnergy
from training.weights.kernels import Discrepancy, discrepancy
from training.weights.problem import POOL_BLOCK, Pool, Problem

STARTS = {"latentga": "prior", "latentrsga": "latentrs"}
"""What each of the two climbs from."""
STEPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
PATIENCE = 2
"""Looks in a row that are further from the data than the closest: the climb is over."""
ROWS, ROWS_PER_REAL = 5_000, 4
"""At most so many latents, and no more to each real row: beyond, the noise is that of the real rows."""
SEED = 2_000_004
"""Offset from the seed given: latents that no training draws."""


@dataclass(frozen=True)
class Climb:
    """``distances``: from the real rows after so many steps, as far as was looked; 0 steps are the start."""

    distances: Mapping[int, float]

    @property
    def closest(self) -> int:
        """Steps at the smallest distance; 0: climbing does not pay."""
        return min(self.distances, key=self.distances.__getitem__)

    @property
    def steps(self) -> int:
        """For the bundle's defaults: an ascent has at least one."""
        return max(1, self.closest)


def measure_climbs(bundle: Bundle, problem: Problem, seed: int, rows: int = ROWS) -> dict[str, Climb]:
    """Climbs of ``rows`` latents, by method, towards ``problem.real``: rows that w has not read, in its features.

    The step size is the bundle's default. Distances are unbiased, on the same latents for every number of steps.
    Raises RejectionStalled.
    """
    assert bundle.importance is not None
    real = features_of(problem.features, problem.real.samples, problem.device).to(problem.device)
    rho = discrepancy(YARDSTICK, real)
    found = {}
    for method, start in STARTS.items():
        usual = with_defaults(bundle, method)
        assert isinstance(usual, AscentParameters)
        sampler = bind(bundle, start, None, SIZES)
        drawn = draw(start, sampler.propose, rows, BlockStream(seed + SEED, sampler.block, problem.device))
        parameters = usual.model_copy(update={"steps": STEPS[-1]})
        path = trajectory(bundle.prior, bundle.importance, drawn.latents, parameters)
        found[method] = _until_worse(path.latents, problem, real, rho)
    return found


def _until_worse(path: torch.Tensor, problem: Problem, real: torch.Tensor, rho: Discrepancy) -> Climb:
    """Of the latents ``path`` [steps + 1, n, d]; ``real`` [m, f] in features whose distance is ``rho``."""
    distances: dict[int, float] = {}
    for steps in STEPS:
        blocks = path[steps].split(POOL_BLOCK)
        features = torch.cat([features_of(problem.features, problem.generate(z), problem.device) for z in blocks])
        pool = Pool(path[steps], features).to(problem.device)
        distances[steps] = HeldOutEnergy(pool, real, rho).distance(torch.ones(len(pool), device=problem.device))
        if STEPS.index(steps) - STEPS.index(Climb(distances).closest) == PATIENCE:
            break
    return Climb(distances)
