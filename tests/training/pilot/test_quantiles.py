"""Acceptance at the thresholds of a pilot run, on latents that it never saw."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pytest
import torch
from torch import nn

from models.bundle import Bundle
from models.generators.mlp import MlpGenerator
from models.pilot import PilotSection
from sampling.jbt import JbtParameters
from sampling.methods import bind
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, draw
from sampling.simplicial import SimplicialParameters, regular_simplex
from sampling.streams import BlockStream
from tests.sampling.pilots import bundle_with
from training.errors import TrainingRefused
from training.pilot.jbt import jbt_pilot
from training.pilot.simplicial import simplicial_pilot

JBT_ROWS, SIMPLICIAL_ROWS = 4_000, 40_000
SIZES = BlockSizes(latents=2_000, decoded=4_000)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A generator of smooth 4 x 4 images, and both sections measured for it."""
    torch.manual_seed(0)
    generator = MlpGenerator(3, (1, 4, 4), (16, 16), tanh=True).eval().requires_grad_(False)
    bare = bundle_with(tmp_path_factory.mktemp("bundle"), generator)
    sections = {
        "jbt": jbt_pilot(bare, seed=1, rows=JBT_ROWS),
        "simplicial": simplicial_pilot(bare, regular_simplex(4, 3, 2.0), "regular", seed=1, rows=SIMPLICIAL_ROWS),
    }
    return with_sections(bare, sections)


def with_sections(bundle: Bundle, sections: dict[str, PilotSection]) -> Bundle:
    pilot = bundle.manifest.pilot.model_copy(update=sections)
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"pilot": pilot}))


@pytest.mark.parametrize(
    ("method", "parameters", "share", "rows"),
    [
        *(("jbt", JbtParameters(keep=share), share, JBT_ROWS) for share in (0.1, 0.5, 0.9)),
        *(("simplicial", SimplicialParameters(acceptance=a), a, SIMPLICIAL_ROWS) for a in (0.01, 0.3, 0.8)),
    ],
)
def test_fresh_latents_are_accepted_in_the_share_that_was_asked_for(
    bundle: Bundle, method: str, parameters: Parameters, share: float, rows: int
) -> None:
    sampler = bind(bundle, method, parameters, SIZES)
    cost = draw(method, sampler.propose, round(8_000 * share), BlockStream(9, sampler.block)).cost
    # both the pilot's quantile and the draw are samples
    error = sqrt(share * (1 - share) * (1 / rows + 1 / cost.proposals))
    assert abs(cost.acceptance_rate - share) < 4 * error


def test_the_same_seed_gives_the_same_section_and_another_one_another(bundle: Bundle) -> None:
    first, again, other = (jbt_pilot(bundle, seed, rows=100) for seed in (3, 3, 4))
    assert first == again and first.quantiles != other.quantiles
    assert (first.rows, first.seed, first.probe_seed, first.probes, len(first.quantiles)) == (100, 3, 3, 10, 1_001)
    assert first.derivative == "exact"
    seeds = regular_simplex(4, 3)
    first_s, again_s = (simplicial_pilot(bundle, seeds, "regular", 3, rows=100) for _ in range(2))
    assert first_s == again_s and first_s.kind == "regular" and first_s.radius == pytest.approx(1.0)
    torch.testing.assert_close(torch.tensor(first_s.seeds), seeds)


def test_a_generator_that_stretches_everywhere_alike_has_no_jbt(bundle: Bundle) -> None:
    class Still(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.ones(1), requires_grad=False)

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z[:, :2] * 0 + self.value

    with pytest.raises(TrainingRefused, match="the norm of the generator's Jacobian is the same for every latent"):
        jbt_pilot(replace(bundle, networks={"generator": Still()}), seed=0, rows=100)


def test_scores_that_are_not_finite_are_refused(bundle: Bundle) -> None:
    with pytest.raises(TrainingRefused, match="the simplicial score is NaN or infinite for some latents"):
        simplicial_pilot(bundle, torch.full((2, 3), torch.nan), "fitted", 0, rows=100)
