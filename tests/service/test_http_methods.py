"""Every method over HTTP: its parameters in the query string, in OpenAPI, in /models, in the ETag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_http_problems import problem
from toy_methods import MOVING, PICKY

from sampling.methods import METHODS
from sampling.parameters import Parameters
from service.http.parameters import method_parameters
from service.settings import LimitSettings, Settings

pytestmark = pytest.mark.usefixtures("toys")


def latents(answer: Any) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["latents"])


def test_a_methods_own_parameters_stand_in_the_query_string(api: Any) -> None:
    still, moved = (
        latents(api.post(f"/sample?method=moving&seed=1&n=3&format=json&steps={steps}&step_size=2")) for steps in (0, 3)
    )
    assert np.allclose(moved, still + 6)


@pytest.mark.parametrize("name", ["latentrs+ga", "latentrs%2Bga", "latentrsga"])
def test_the_papers_name_of_latentrsga_is_an_alias(
    monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Any], name: str
) -> None:
    monkeypatch.setitem(METHODS, "latentrsga", replace(MOVING, name="latentrsga"))
    assert serve().post(f"/sample?method={name}&steps=3").headers["sample-method"] == "latentrsga"


def test_the_refusal_of_a_foreign_parameter_names_it_the_method_and_what_it_takes(api: Any) -> None:
    found = problem(api.post("/sample?method=picky&step_size=1"))
    assert found["detail"] == "step_size: picky does not take it; it takes acceptance, steps."
    found = problem(api.post("/sample?method=prior&step_size=1"))
    assert found["detail"] == "step_size: prior does not take it; it takes no parameters."


def test_parameters_that_share_a_name_have_the_bounds_of_their_method(api: Any) -> None:
    assert api.post("/sample?method=moving&steps=5").status_code == 200
    assert "less than or equal to 4, not '5'" in problem(api.post("/sample?method=picky&steps=5"))["detail"]
    assert api.post("/sample?method=picky&steps=0").status_code == 422
    assert api.post("/sample?method=moving&steps=0").status_code == 200


def test_all_wrong_parameters_of_a_method_are_named_at_once(api: Any) -> None:
    found = problem(api.post("/sample?method=moving&steps=x&step_size=99&acceptance=1"))
    assert {error["parameter"] for error in found["errors"]} == {"steps", "step_size", "acceptance"}


def test_a_method_without_its_network_says_which(api: Any) -> None:
    found = problem(api.post("/sample?method=wanting&steps=3"))
    assert found["code"] == "method_unavailable"
    assert "a network 'classifier'" in found["detail"]


def test_openapi_lists_every_parameter_with_the_methods_that_take_it(api: Any) -> None:
    for verb in ("get", "post"):
        listed = {
            item["name"]: item for item in api.get("/openapi.json").json()["paths"]["/sample"][verb]["parameters"]
        }
        assert set(METHODS) == set(listed["method"]["schema"]["enum"])
        steps = listed["steps"]["description"]
        assert "moving" in steps and "wanting: Moves. Default 1." in steps
        assert "picky: Looks at a sample. Default 1." in steps
        bounds = [kind.get("maximum") for kind in listed["steps"]["schema"]["anyOf"]]
        assert {1000, 4} <= set(bounds)
        assert listed["road"]["schema"]["enum"] == ["straight", "winding"]
        assert not any(item["required"] for item in listed.values())
    page = api.get("/docs").text
    assert "step_size" in page
    assert "Looks at a sample" in page
    assert "straight, winding" in page


def test_openapi_follows_the_methods_that_there_are_when_the_application_is_made(
    monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Any]
) -> None:
    def names(api: Any) -> set[str]:
        return {item["name"] for item in api.get("/openapi.json").json()["paths"]["/sample"]["get"]["parameters"]}

    before = names(serve())
    monkeypatch.delitem(METHODS, "moving")
    monkeypatch.delitem(METHODS, "wanting")
    assert {"step_size"} <= before - names(serve()) or any(
        "step_size" in method.parameters.model_fields for method in METHODS.values()
    )


def test_a_method_may_not_take_a_name_that_every_request_has() -> None:
    class Greedy(Parameters):
        seed: int = 0

    with pytest.raises(ValueError, match="'seed', which every request has"):
        method_parameters({"greedy": replace(MOVING, parameters=Greedy)})


def test_a_model_lists_its_methods_with_their_parameters_or_what_is_missing(api: Any) -> None:
    details = api.get("/models/images").json()["method_details"]
    assert set(details) == set(METHODS)
    assert details["moving"]["available"]
    assert details["moving"]["summary"] == "moves every latent"
    assert details["moving"]["parameters"]["properties"]["steps"]["maximum"] == 1000
    assert details["wanting"] == {
        "summary": "needs what is not there", "available": False, "missing": ["a network 'classifier'"],
    }  # fmt: skip
    assert api.get("/models/plain").json()["method_details"]["latentrs"]["missing"] == ["a network 'importance'"]


def test_the_expected_acceptance_rate_is_told_where_it_is_known(api: Any) -> None:
    assert api.post("/sample?method=picky&acceptance=0.25").headers["sample-expected-acceptance-rate"] == "0.25"
    assert api.post("/sample?method=prior").headers["sample-expected-acceptance-rate"] == "1"
    assert "sample-expected-acceptance-rate" not in api.post("/sample?method=moving").headers


def test_the_etag_covers_the_parameters_and_not_how_they_are_written(api: Any) -> None:
    def tag(query: str) -> str:
        found: str = api.get(f"/sample?seed=1&method=moving{query}").headers["etag"]
        return found

    assert len({tag(query) for query in ("", "&steps=2", "&step_size=0.25", "&cutoff=1", "&road=winding")}) == 5
    assert tag("") == tag("&steps=1") == tag("&steps=1&step_size=0.50") == tag("&step_size=5e-1&steps=1")


def test_a_seeded_answer_of_a_decoding_method_is_the_same_bytes_alone_and_in_a_crowd(api: Any) -> None:
    path = "/sample?seed=1&method=picky&n=20&format=npz"
    alone = api.get(path).content
    crowd = api.together([("GET", path), ("GET", "/sample?n=50&method=picky"), ("GET", "/sample?n=9"), ("GET", path)])
    assert [crowd[0].content, crowd[3].content] == [alone, alone]


def test_the_cap_on_proposals_is_a_setting_and_the_refusal_says_what_to_do(serve: Callable[..., Any]) -> None:
    found = problem(serve(max_proposals_per_sample=20).post("/sample?model=points&method=picky&acceptance=0.01&n=99"))
    assert found["code"] == "rejection_stalled"
    for part in ("picky accepted", "limits.max_proposals_per_sample", "method=prior"):
        assert part in found["detail"]
    assert Settings(limits=LimitSettings(max_proposals_per_sample=20)).limits.max_proposals_per_sample == 20


def test_requests_are_counted_under_their_method(api: Any) -> None:
    api.post("/sample?method=picky&n=3")
    api.post("/sample?method=picky&n=3&step_size=1")
    assert api.metric("winnow_requests_total", method="picky", outcome="ok") == 1
    assert api.metric("winnow_samples_total", model="images", method="picky") == 3
    assert PICKY.name in api.get("/info").json()["methods"]
