"""POST /refine: the path of given latents up the importance weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_http_latents import npy, some
from test_http_problems import problem

from sampling.ascent import AscentParameters, ascent_block, trajectory


def test_a_path_starts_at_the_latent_and_has_a_weight_at_every_step(api: Any) -> None:
    latents = some(5)
    document = api.post("/refine?steps=7&step_size=0.1", **npy(latents)).json()
    paths, weights = np.array(document["latents"], np.float32), np.array(document["weights"], np.float32)
    assert (paths.shape, weights.shape, document["n"]) == ((5, 8, 16), (5, 8), 5)
    assert np.array_equal(paths[:, 0], latents)
    for step in (0, 7):
        scores = api.post("/score", **npy(paths[:, step])).json()
        assert np.allclose(scores["weights"], weights[:, step], rtol=1e-4)
    assert weights[:, -1].mean() > weights[:, 0].mean()


def test_it_is_the_ascent_of_the_sampling_package_with_its_parameters(api: Any) -> None:
    bundle, latents = api.engine.model("images"), some(3)
    assert bundle.importance is not None
    found = {}
    for projection in ("tangent", "printed"):
        query = f"steps=5&step_size=0.5&projection={projection}"
        found[projection] = np.array(api.post(f"/refine?{query}", **npy(latents)).json()["latents"], np.float32)
        parameters = AscentParameters(steps=5, step_size=0.5, projection=projection)
        path = trajectory(bundle.prior, bundle.importance, torch.from_numpy(latents), parameters)
        assert np.allclose(found[projection], path.latents.transpose(0, 1).numpy(), atol=1e-5)
    assert not np.allclose(found["tangent"], found["printed"])


def test_rows_do_not_depend_on_how_many_come_with_them(api: Any) -> None:
    block = ascent_block(api.engine.served(None).blocks, steps=2)
    whole = api.post("/refine?steps=2", **npy(some(2 * block + 1))).json()
    few = api.post("/refine?steps=2", **npy(some(2 * block + 1)[:3])).json()
    assert few["latents"] == whole["latents"][:3]
    assert few["weights"] == whole["weights"][:3]
    assert api.metric("winnow_stage_duration_seconds_count", stage="refine") == 4


@pytest.mark.parametrize(
    ("path", "code", "parameter"),
    [
        ("/refine?steps=x", "invalid_parameters", "steps"),
        ("/refine?steps=100000", "invalid_parameters", "steps"),
        ("/refine?step_size=-1", "invalid_parameters", "step_size"),
        ("/refine?projection=nope", "invalid_parameters", "projection"),
        ("/refine?seed=1", "invalid_parameters", "seed"),
        ("/refine?model=plain", "network_missing", "model"),
    ],
)
def test_a_wrong_parameter_is_named(api: Any, path: str, code: str, parameter: str) -> None:
    found = problem(api.post(path, **npy(some(1))))
    assert (found["status"], found["code"]) == (422, code)
    assert [error["parameter"] for error in found["errors"]] == [parameter]


def test_paths_that_no_document_holds_are_refused(api: Any) -> None:
    found = problem(api.post("/refine?steps=100", **npy(some(2_000))))
    assert found["code"] == "too_many_samples"
    assert [error["parameter"] for error in found["errors"]] == ["latents"]


def test_openapi_lists_the_parameters_of_the_ascent(api: Any) -> None:
    operation = api.get("/openapi.json").json()["paths"]["/refine"]["post"]
    assert [item["name"] for item in operation["parameters"]] == ["model", "timeout", *AscentParameters.model_fields]


def test_what_the_request_leaves_open_has_the_bundles_default_of_latentga(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def path(query: str) -> Any:
        return api.post(f"/refine?{query}", **npy(some(3))).json()["latents"]

    usual, wide = path("steps=3"), path("steps=3&step_size=0.4")
    monkeypatch.setitem(api.engine.model("images").manifest.defaults, "latentga", {"step_size": 0.4})
    assert path("steps=3") == wide != usual
    assert path("steps=3&step_size=0.05") == usual
