"""Whatever layer says no: it is counted by code, under the template of the path, logged with it, and cheap."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from test_gate import ALICE, write_keys

from service.engine.encoders.formats import FORMATS, largest
from service.http.gate import CROWDED
from service.http.negotiation import MAX_ACCEPT, _remembered, best_type
from service.http.problems import Problem
from service.http.standing import REFUSALS
from service.metrics.registry import NO_ROUTE
from service.settings import AuthSettings, HttpSettings, Settings

Serve = Callable[..., Any]


def refused(api: Any) -> dict[str, float]:
    counts = {code: api.metric("winnow_refused_total", code=code) for code in REFUSALS}
    return {code: count for code, count in counts.items() if count}


def answered(api: Any, route: str, status: int, verb: str = "POST") -> float:
    labels = {"http_request_method": verb, "http_route": route, "http_response_status_code": str(status)}
    count: float = api.metric("http_server_request_duration_seconds_count", **labels)
    return count


@pytest.fixture
def limited(serve: Serve, tmp_path: Path) -> Callable[[str], Any]:
    def run(quota: str) -> Any:
        auth = AuthSettings(keys_file=write_keys(tmp_path / "keys", alice=quota))
        return serve(settings=Settings(auth=auth, http=HttpSettings(cors_origins=("https://ours.test",))))

    return run


@pytest.mark.parametrize(
    ("quota", "code"),
    [
        ("requests_per_second=0.01", "too_many_requests"),
        ("concurrent=1", "too_many_at_once"),
        ("rows_per_minute=50", "too_many_rows"),
    ],
)
def test_a_refusal_of_the_quota_is_counted(
    limited: Callable[[str], Any], quota: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    api = limited(quota)
    with caplog.at_level(logging.INFO, "winnow.access"):
        answers = api.together([("POST", "/sample?n=50")] * 3, headers=ALICE)
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429]
    assert refused(api) == {code: 2}
    assert (answered(api, "/sample", 429), answered(api, "/sample", 200)) == (2, 1)
    lines = [vars(line) for line in caplog.records if line.name == "winnow.access"]
    assert sorted(line.get("code", "") for line in lines) == ["", code, code]


def test_a_refusal_of_the_crowd_is_counted(api: Any) -> None:
    app = api.app

    async def crowded(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {CROWDED: True}}, receive, send)

    api.app = crowded
    assert api.post("/sample").status_code == 503
    assert api.get("/models/images/report").status_code == 503
    assert refused(api) == {"too_many_connections": 2}
    assert answered(api, "/sample", 503) == 1
    assert answered(api, "/models/{name}/report", 503, "GET") == 1


def test_what_is_shut_has_the_template_of_its_path_and_other_paths_have_none(limited: Callable[[str], Any]) -> None:
    api = limited("")
    assert [api.post(path).status_code for path in ("/sample", "/admin/models/points", "/wp-admin.php")] == [401] * 3
    assert answered(api, "/sample", 401) == 1
    assert answered(api, "/admin/models/{name}", 401) == 1
    assert answered(api, NO_ROUTE, 401) == 1
    assert refused(api) == {}
    asked = {"Origin": "https://other.test", "Access-Control-Request-Method": "POST"}
    assert api.together([("OPTIONS", "/sample")], headers=asked)[0].json()["code"] == "origin_refused"
    assert answered(api, "/sample", 403, "OPTIONS") == 1


@pytest.mark.parametrize("path", ["/sample?n=0&seed=x", "/nope", "/sample?model=nope", "/sample?format=bmp"])
def test_every_problem_is_one_of_the_document(api: Any, path: str) -> None:
    found = api.get(path).json()
    assert Problem.model_validate(found, extra="forbid", strict=True).model_dump(exclude_unset=True) == found


def test_a_page_that_takes_get_alone_says_so(api: Any) -> None:
    answer = api.post("/docs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_a_request_for_samples_costs_no_search_for_parameters(
    api: Any, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: object, **__: object) -> object:
        raise AssertionError("FastAPI was asked")

    monkeypatch.setattr("fastapi.routing.solve_dependencies", search)
    assert api.together([(verb, "/sample?n=0")])[0].status_code == 422
    assert answered(api, "/sample", 422, verb) == 1


def test_what_only_a_header_line_wants_is_made_after_admission(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_yet(*_: object) -> object:
        raise AssertionError("nobody reads it")

    api.engine.stop_admission()
    monkeypatch.setattr("service.http.samples._sample_headers", not_yet)
    assert api.post("/sample?seed=1").json()["code"] == "draining"


def test_formats_that_were_not_asked_for_are_not_measured(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def watched(name: str, *rest: Any) -> int:
        asked.append(name)
        return largest(name, *rest)

    monkeypatch.setattr("service.http.samples.largest", watched)
    assert api.post("/sample?n=4096&format=webp").status_code == 200
    assert asked == ["webp"]
    assert "npz up to 100000" in api.post("/sample?n=4097&format=webp").json()["detail"]


def test_an_accept_header_is_read_once_unless_it_is_long() -> None:
    media_types = tuple(fmt.media_type for fmt in FORMATS.values())
    for accept, found in (("image/webp, */*;q=0.1", 1), (f"image/webp{' ' * MAX_ACCEPT}", 0)):
        hits = _remembered.cache_info().hits
        assert [best_type(accept, media_types) for _ in range(2)] == ["image/webp"] * 2
        assert _remembered.cache_info().hits == hits + found


def test_head_is_told_what_would_do(api: Any) -> None:
    answer = api.together([("HEAD", "/sample")])[0]
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
