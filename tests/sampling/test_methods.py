"""Binding: what a bundle's own defaults change, and which defaults it may not have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.bundle import Bundle
from sampling.ascent import AscentParameters
from sampling.methods import METHODS, bind, check_defaults, with_defaults
from sampling.parameters import Parameters
from tests.models import bundles
from tests.sampling.pilots import bundle_with


def with_own(tmp_path: Path, **defaults: dict[str, Any]) -> Bundle:
    bundle = bundle_with(tmp_path)
    return replace(bundle, manifest=bundles.manifest(defaults=defaults))


def test_a_bundles_default_holds_where_the_caller_says_nothing(tmp_path: Path) -> None:
    bundle = with_own(tmp_path, latentga={"steps": 7, "projection": "none"})
    for given, step_size in ((None, 0.05), (Parameters(), 0.05), (AscentParameters(step_size=0.5), 0.5)):
        chosen = bind(bundle, "latentga", given).parameters
        assert isinstance(chosen, AscentParameters)
        assert (chosen.steps, chosen.projection, chosen.step_size) == (7, "none", step_size)


def test_what_the_caller_sets_beats_it_even_when_it_is_the_methods_own_default(tmp_path: Path) -> None:
    bundle, own = with_own(tmp_path, latentga={"steps": 7}), AscentParameters().steps
    chosen = with_defaults(bundle, "latentga", AscentParameters(steps=own))
    assert isinstance(chosen, AscentParameters) and chosen.steps == own != 7
    assert with_defaults(bundle, "latentga", chosen) == chosen


def test_other_methods_and_other_bundles_keep_theirs(tmp_path: Path) -> None:
    bundle = with_own(tmp_path, latentga={"steps": 7})
    for name, method in METHODS.items():
        if name != "latentga":
            assert with_defaults(bundle, name) == method.parameters()
    assert with_defaults(with_own(tmp_path), "latentga") == AscentParameters()


@pytest.mark.parametrize(
    ("defaults", "says"),
    [
        ({"latentgb": {}}, "defaults: there is no method 'latentgb'; the methods are prior, latentrs"),
        ({"latentga": {"stepz": 1}}, r"defaults: latentga.stepz: latentga takes steps, step_size, projection$"),
        ({"prior": {"steps": 1}}, "defaults: prior.steps: prior takes no parameters"),
        ({"latentga": {"steps": 0}}, r"latentga.steps: Input should be greater than or equal to 1, not 0$"),
        ({"latentga": {"steps": "many"}}, "latentga.steps: Input should be a valid integer"),
        ({"latentrs": {"acceptance": 2}}, "latentrs.acceptance: Input should be less than or equal to 1, not 2"),
        ({"mh": {"candidates": 0}}, "mh.candidates: Input should be greater than or equal to 1"),
    ],
)
def test_defaults_that_fit_no_method_are_refused_in_one_sentence(
    tmp_path: Path, defaults: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        check_defaults(with_own(tmp_path, **defaults))
    assert "\n" not in str(refusal.value)


def test_defaults_that_this_bundle_cannot_meet_are_refused(tmp_path: Path) -> None:
    bundle = with_own(tmp_path, latentga={"projection": "printed"})
    check_defaults(bundle)
    prior = bundle.manifest.prior.model_copy(update={"kind": "uniform"})
    uniform = replace(bundle, manifest=bundle.manifest.model_copy(update={"prior": prior}))
    with pytest.raises(ValueError, match=r"defaults: latentga: projection=printed is for normal priors.* it out$"):
        check_defaults(uniform)


def test_defaults_of_a_method_that_the_bundle_cannot_do_yet_are_kept(tmp_path: Path) -> None:
    check_defaults(with_own(tmp_path, mh={"candidates": 20}))
