"""A bundle's own defaults over HTTP: in force, shown, in the ETag; wrong ones break only their model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.bundles import edit

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def root(bundles: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of ``images`` and ``points``, whose points have these defaults."""

    def copy(**defaults: dict[str, Any]) -> Path:
        for name in ("images", "points"):
            shutil.copytree(bundles / name, tmp_path / name)
        edit(tmp_path / "points", lambda document: document.update(defaults=defaults))
        return tmp_path

    return copy


def latents(api: Any, query: str) -> np.ndarray:
    answer = api.post(f"/sample?method=moving&seed=1&n=3&format=json&{query}")
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["latents"])


def test_they_are_in_force_under_what_a_request_sets(serve: Callable[..., Any], root: Callable[..., Path]) -> None:
    api = serve(root(moving={"steps": 3, "step_size": 2}))
    still = latents(api, "model=points&steps=0")
    assert np.allclose(latents(api, "model=points"), still + 6)
    assert np.allclose(latents(api, "model=points&steps=1"), still + 2)
    assert np.allclose(latents(api, "model=points&step_size=0.5"), still + 1.5)
    images = latents(api, "model=images&steps=0")
    assert np.allclose(latents(api, "model=images"), images + 0.5)


def test_a_model_shows_the_defaults_that_are_in_force(serve: Callable[..., Any], root: Callable[..., Path]) -> None:
    api = serve(root(moving={"steps": 3}))

    def default(model: str, parameter: str) -> object:
        details = api.get(f"/models/{model}").json()["method_details"]
        return details["moving"]["parameters"]["properties"][parameter]["default"]

    assert (default("points", "steps"), default("images", "steps")) == (3, 1)
    assert default("points", "step_size") == default("images", "step_size") == 0.5


def test_the_etag_is_that_of_the_parameters_in_force(serve: Callable[..., Any], root: Callable[..., Path]) -> None:
    api = serve(root(moving={"steps": 3}))

    def tag(query: str) -> str:
        found: str = api.get(f"/sample?seed=1&model=points&method=moving{query}").headers["etag"]
        return found

    assert tag("") == tag("&steps=3") != tag("&steps=1")


@pytest.mark.parametrize(
    ("defaults", "says"),
    [
        ({"flying": {}}, "points: defaults: there is no method 'flying'; the methods are prior, "),
        ({"moving": {"speed": 1}}, "points: defaults: moving.speed: moving takes steps, step_size, road, cutoff."),
        ({"moving": {"steps": 1001}}, "points: defaults: moving.steps: Input should be less than or equal to 1000"),
        ({"picky": {"acceptance": 0.001}}, "points: defaults: picky: acceptance must be at least 0.01 here"),
    ],
)
def test_wrong_ones_are_a_broken_model_with_a_sentence(
    serve: Callable[..., Any], root: Callable[..., Path], defaults: dict[str, Any], says: str
) -> None:
    api = serve(root(**defaults))
    model = api.get("/models/points").json()
    assert (model["status"], says in model["reason"]) == ("broken", True), model["reason"]
    assert api.post("/sample?model=points").status_code >= 400
    assert api.post("/sample?model=images").status_code == 200
