"""Every error is an RFC 9457 problem that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.http.problems import CODES
from service.http.state import Grace
from service.settings import LimitSettings, Settings


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code"} <= set(document)
    status, title = CODES[document["code"]]
    assert (document["status"], answer.status_code, document["title"]) == (status, status, title)
    assert answer.headers["x-request-id"] in document["instance"]
    return document


@pytest.mark.parametrize(
    ("query", "status", "code", "parameter"),
    [
        ("n=0", 422, "invalid_parameters", "n"),
        ("n=-1", 422, "invalid_parameters", "n"),
        ("n=1e9", 422, "invalid_parameters", "n"),
        ("n=1000000000", 422, "too_many_samples", "n"),
        ("n=100001&format=json", 422, "too_many_samples", "n"),
        ("n=4097&format=png", 422, "too_many_samples", "n"),
        ("n=abc", 422, "invalid_parameters", "n"),
        ("n=", 422, "invalid_parameters", "n"),
        ("n=1&n=2", 422, "invalid_parameters", "n"),
        ("n=1&n=1", 422, "invalid_parameters", "n"),
        ("method=nope", 422, "method_unknown", "method"),
        ("method=", 422, "method_unknown", "method"),
        ("method=wanting", 422, "method_unavailable", "method"),
        ("method=latentrs&model=plain", 422, "method_unavailable", "method"),
        ("seed=x", 422, "invalid_parameters", "seed"),
        ("seed=-1", 422, "invalid_parameters", "seed"),
        (f"seed={2**63}", 422, "invalid_parameters", "seed"),
        ("seed=" + "9" * 5000, 422, "invalid_parameters", "seed"),
        ("model=nope", 404, "model_not_found", "model"),
        ("model=../images", 404, "model_not_found", "model"),
        ("images=maybe", 422, "invalid_parameters", "images"),
        ("stepps=4", 422, "invalid_parameters", "stepps"),
        ("method=prior&steps=4", 422, "invalid_parameters", "steps"),
        ("method=moving&acceptance=0.5", 422, "invalid_parameters", "acceptance"),
        ("method=moving&steps=1001", 422, "invalid_parameters", "steps"),
        ("method=moving&steps=", 422, "invalid_parameters", "steps"),
        ("method=moving&steps=1&steps=1", 422, "invalid_parameters", "steps"),
        ("method=moving&step_size=nan", 422, "invalid_parameters", "step_size"),
        ("method=moving&road=none", 422, "invalid_parameters", "road"),
        ("method=picky&steps=5", 422, "invalid_parameters", "steps"),
        ("method=picky&acceptance=0", 422, "invalid_parameters", "acceptance"),
        ("method=picky&acceptance=0.001", 422, "invalid_parameters", "acceptance"),
        ("method=picky&cap=3", 422, "invalid_parameters", "cap"),
        ("N=4", 422, "invalid_parameters", "N"),
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_a_wrong_parameter_is_named(
    toys: None, api: Any, verb: str, query: str, status: int, code: str, parameter: str
) -> None:
    found = problem(api.together([(verb, f"/sample?{query}")])[0])
    assert (found["status"], found["code"]) == (status, code)
    assert [error["parameter"] for error in found["errors"]] == [parameter]


def test_the_detail_says_what_would_do(api: Any) -> None:
    assert "prior, latentrs" in problem(api.post("/sample?method=nope"))["detail"]
    assert "images, plain, points" in problem(api.post("/sample?model=nope"))["detail"]
    assert "method, n, model, seed" in problem(api.post("/sample?nope=1"))["detail"]
    assert "4096" in (detail := problem(api.post("/sample?n=5000"))["detail"])
    assert "npz up to 100000" in detail


def test_all_wrong_parameters_are_named_at_once(api: Any) -> None:
    found = problem(api.post("/sample?n=0&seed=x&foo=1"))
    assert {error["parameter"] for error in found["errors"]} == {"n", "seed", "foo"}


@pytest.mark.parametrize(("query", "accept"), [("?format=bmp", "*/*"), ("", "image/bmp"), ("", "image/png;q=0")])
def test_an_unknown_format_is_406(api: Any, query: str, accept: str) -> None:
    found = problem(api.post(f"/sample{query}", headers={"Accept": accept}))
    assert found["code"] == "not_acceptable"
    assert "png" in found["detail"]


def test_a_body_is_refused_with_the_way_to_ask(api: Any) -> None:
    found = problem(api.post("/sample", content=b'{"n": 3}', headers={"Content-Type": "application/json"}))
    assert found["code"] == "body_not_supported"
    assert "/sample?n=64" in found["detail"]


@pytest.mark.parametrize("path", ["/nope", "/sample/", "/models/", "/models/images/nope"])
def test_an_unknown_route_is_a_problem(api: Any, path: str) -> None:
    assert problem(api.get(path))["code"] == "not_found"


@pytest.mark.parametrize(("verb", "path", "allow"), [("DELETE", "/sample", "GET, POST"), ("POST", "/models", "GET")])
def test_a_wrong_http_method_is_told_the_right_ones(api: Any, verb: str, path: str, allow: str) -> None:
    answer = api.together([(verb, path)])[0]
    assert problem(answer)["code"] == "method_not_allowed"
    assert answer.headers["allow"] == allow


def test_a_caller_may_not_ask_for_more_than_the_setting(serve: Callable[..., Any]) -> None:
    api = serve(settings=Settings(limits=LimitSettings(max_n=10)))
    assert api.post("/sample?n=10").status_code == 200
    assert "at most 10" in problem(api.post("/sample?n=11"))["detail"]


@pytest.mark.parametrize("seed", ["", "&seed=1"])
def test_weights_that_reject_everything_are_an_error_not_a_hang(api: Any, seed: str) -> None:
    found = problem(api.post(f"/sample?model=barren{seed}"))
    assert found["code"] == "rejection_stalled"
    assert "method=prior" in found["detail"]
    assert api.post("/sample?model=barren&method=prior").status_code == 200


@pytest.mark.parametrize("seed", ["", "&seed=1"])
def test_a_network_that_raises_fails_its_request_and_nothing_else(
    api: Any, monkeypatch: pytest.MonkeyPatch, seed: str
) -> None:
    def explode(_: object) -> object:
        raise RuntimeError("weights on fire\nand a second line")

    monkeypatch.setattr(api.engine.catalog.models["images"].bundle.generator, "forward", explode)
    found = problem(api.post(f"/sample?n=3{seed}"))
    assert found["code"] == "generation_failed"
    assert "weights on fire" in found["detail"]
    assert "second line" not in found["detail"]
    assert api.post("/sample?model=points").status_code == 200
    assert api.get("/readyz").status_code == 200


def test_a_generator_that_gives_nan_is_an_error_not_a_picture(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = api.engine.catalog.models["points"].bundle.generator
    monkeypatch.setattr(generator, "forward", lambda z: z * float("nan"))
    assert "NaN" in problem(api.post("/sample?model=points"))["detail"]


def test_our_own_mistakes_are_a_problem_without_inner_details(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistake(*_: object) -> object:
        raise KeyError("secret detail")

    monkeypatch.setattr(api.engine, "submit", mistake)
    answer = api.post("/sample")
    assert problem(answer)["code"] == "internal"
    assert "secret" not in answer.text
    assert api.metric("winnow_requests_total", method="latentrs", outcome="failed") == 1


def test_a_broken_bundle_is_listed_and_refused_while_the_others_are_served(
    serve: Callable[..., Any], bundles: Path, tmp_path: Path
) -> None:
    for name in ("images", "points"):
        (tmp_path / name).symlink_to(bundles / name)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bundle.json").write_text("{")
    api = serve(tmp_path, None)
    found = problem(api.post("/sample?model=bad"))
    assert found["code"] == "model_broken"
    assert "not valid JSON" in found["detail"]
    listed = {model["name"]: model["status"] for model in api.get("/models").json()["models"]}
    assert listed == {"bad": "broken", "images": "ready", "points": "ready"}
    assert "not valid JSON" in api.get("/models/bad").json()["reason"]
    assert api.post("/sample?model=points").status_code == 200


def test_a_draining_server_refuses_politely(api: Any) -> None:
    api.engine.stop_admission()
    answer = api.post("/sample")
    assert problem(answer)["code"] == "draining"
    assert answer.headers["connection"] == "close"
    assert answer.headers["retry-after"] == "30", "all of http.grace_seconds"
    assert api.get("/readyz").status_code == 503
    assert api.get("/livez").status_code == 200


def test_a_server_whose_device_loop_has_stopped_asks_to_be_restarted(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api.get("/livez").status_code == 200
    monkeypatch.setattr(api.engine._loops[0], "_take", None)
    assert problem(api.post("/sample"))["code"] == "device_stopped"
    api.engine._threads[0].join(timeout=60)
    assert "has stopped" in api.get("/livez?verbose").json()["checks"]["engine"]
    assert [api.get(path).status_code for path in ("/livez", "/readyz")] == [503, 503]
    answer = api.post("/sample")
    assert "must be restarted" in problem(answer)["detail"], "it does not shut down"
    assert answer.status_code == 503, "another replica may have more luck"


def test_a_server_that_shuts_down_says_how_long_it_will_still_be_there(api: Any) -> None:
    now = [100.0]
    grace = Grace(30.0, lambda: now[0])
    api.app.state.service = replace(api.app.state.service, grace=grace)
    grace.begin()
    api.engine.stop_admission()
    found = []
    for now[0] in (100.0, 117.5, 129.9, 140.0):
        found.append(api.post("/sample").headers["retry-after"])
    assert found == ["30", "13", "1", "1"]


QUERY_TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["1", "-0", "1.0", "nan", "\uff11"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parameters=st.dictionaries(
        st.sampled_from(["n", "method", "model", "seed", "format", "images"]) | QUERY_TEXT, QUERY_TEXT, max_size=4
    )
)
def test_no_query_string_gets_anything_but_samples_or_a_problem(api: Any, parameters: dict[str, str]) -> None:
    answer = api.post(str(httpx.URL("/sample", params=parameters)))
    if answer.status_code == 200:
        assert answer.headers["sample-count"]
    else:
        assert 400 <= problem(answer)["status"] < 500
        json.loads(answer.content)
