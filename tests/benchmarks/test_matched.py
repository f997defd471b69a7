"""Settings that make methods comparable: found in the bundle's constants, or by measured cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.matched import GRIDS, at_cost, at_share, cube, grids_in_words, shift_for, weights_at
from models.bundle import Bundle
from models.priors import Prior
from sampling.draw import Cost
from sampling.methods import METHODS, bind
from sampling.randomness import BlockRandomness
from sampling.streams import BlockStream
from training.draws import SIZES


@pytest.mark.parametrize("method", ["latentrs", "jbt", "simplicial", "drs", "mh", "sir"])
def test_a_third_passes_of_whatever_a_method_judges(points: Bundle, method: str) -> None:
    sampler = bind(points, method, METHODS[method].parameters(**at_share(points, 1 / 3)[method]), SIZES)
    stream = BlockStream(0, sampler.block)
    cost = Cost()
    while cost.proposals < 4_000:
        cost += sampler.propose(stream).cost
    assert cost.acceptance_rate == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("prior", [Prior("normal", 1), Prior("normal", 5), Prior("uniform", 5)])
def test_the_cube_of_truncation_holds_the_share_of_the_prior(prior: Prior) -> None:
    latents = prior.draw(BlockRandomness(np.random.default_rng(0), 20_000))
    assert float((latents.abs() <= cube(prior, 0.3)).all(1).double().mean()) == pytest.approx(0.3, abs=0.015)


def calibrated(bundle: Bundle, **changes: Any) -> Bundle:
    calibration = bundle.manifest.calibration
    assert calibration is not None
    calibration = calibration.model_copy(update=changes)
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"calibration": calibration}))


def test_weights_whose_cap_passes_the_share_are_left_as_they_are(points: Bundle) -> None:
    uniform = {"weight_quantiles": (0.0, 1.0, 2.0), "mean_weight": 1.0}
    assert weights_at(calibrated(points, acceptance_rate=0.333, **uniform), 1 / 3) == {}
    assert weights_at(calibrated(points, acceptance_rate=0.4, **uniform), 0.7) == {"acceptance": 0.7}
    assert weights_at(calibrated(points, acceptance_rate=0.4, **uniform), 0.2) == {"acceptance": 0.5}


def test_drs_goes_without_a_shift_where_that_is_nearest(points: Bundle) -> None:
    drs = points.manifest.pilot.drs
    assert drs is not None
    assert shift_for(drs, drs.acceptance_rate) == "none"
    assert shift_for(drs, 1.0) == 0


def test_what_a_bundle_cannot_do_has_no_setting(points: Bundle) -> None:
    bare = replace(points, manifest=points.manifest.model_copy(update={"pilot": type(points.manifest.pilot)()}))
    assert set(at_share(bare)) == {"truncation", "latentrs", "latentrsga"}


def test_the_nearest_cost_is_nearest_in_ratio() -> None:
    costs = {2: 2.0, 3: 4.2, 5: 7.0, 10: 14.0}
    assert at_cost("sir", lambda settings: costs[settings["candidates"]], 3.0) == {"candidates": 3}
    assert at_cost("prior", lambda settings: 1.0, 3.0) == {}


def test_every_setting_of_a_grid_is_one_that_its_method_takes(points: Bundle) -> None:
    for method, grid in GRIDS.items():
        for settings in grid:
            bind(points, method, METHODS[method].parameters(**settings), SIZES)
        assert f"{method} {next(iter(grid[0]))} " in grids_in_words()
    assert torch.tensor([SIZES.decoded % n for n in (2, 3, 5, 10, 40)]).sum() == 0
