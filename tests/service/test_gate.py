"""Who may ask: API keys, rights and quotas over HTTP, pages of other origins, and headers that harden."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine.portions import Portion
from service.engine.streaming import RowStream
from service.http import samples
from service.http.gate import PAGES, PROBES
from service.http.pages import policy
from service.settings import AuthSettings, HttpSettings, QuotaSettings, Settings

ALICE, ROOT = {"X-API-Key": "alice's"}, {"Authorization": "Bearer root's"}
Serve = Callable[..., Any]


def write_keys(path: Path, **options: str) -> Path:
    """Keys of these names, whose secrets are ``name's``, with these options."""
    digests = {name: sha256(f"{name}'s".encode()).hexdigest() for name in options}
    path.write_text("".join(f"{name}:{digests[name]} {rest}\n" for name, rest in options.items()))
    return path


@pytest.fixture
def guarded(serve: Serve, tmp_path: Path) -> Callable[..., Any]:
    """The application with two keys; ``alice`` are the options of one."""

    def run(alice: str = "", quota: QuotaSettings | None = None, **auth: Any) -> Any:
        file = write_keys(tmp_path / "keys", alice=alice, root="admin")
        settings = Settings(auth=AuthSettings(keys_file=file, **auth), quota=quota or QuotaSettings())
        return serve(settings=settings)

    return run


@pytest.mark.parametrize(
    "headers",
    [ALICE, ROOT, {"authorization": "bearer   alice's "}, {"Authorization": "Basic eA==", "X-API-Key": "alice's"}],
)
def test_either_header_opens(guarded: Serve, headers: dict[str, str]) -> None:
    assert guarded().post("/sample", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code", "challenge"),
    [
        ({}, "key_missing", 'Bearer realm="winnow"'),
        ({"Authorization": "Basic YTpi"}, "key_missing", 'Bearer realm="winnow"'),
        ({"Authorization": "Bearer"}, "key_missing", 'Bearer realm="winnow"'),
        ({"Authorization": "alice's"}, "key_missing", 'Bearer realm="winnow"'),
        ({**ALICE, **ROOT}, "key_missing", 'Bearer realm="winnow"'),
        ({"X-API-Key": ""}, "key_unknown", 'Bearer realm="winnow", error="invalid_token"'),
        ({"X-API-Key": "alice"}, "key_unknown", 'Bearer realm="winnow", error="invalid_token"'),
        ({"X-API-Key": b"\xff\xfe"}, "key_unknown", 'Bearer realm="winnow", error="invalid_token"'),
        ({"Authorization": "Bearer alice's x"}, "key_unknown", 'Bearer realm="winnow", error="invalid_token"'),
    ],
)
@pytest.mark.parametrize("path", ["/sample", "/score", "/models", "/metrics", "/info", "/nope"])
def test_without_a_known_key_everything_is_shut_the_routes_that_are_not_there_too(
    guarded: Serve, path: str, headers: dict[str, Any], code: str, challenge: str
) -> None:
    answer = guarded().post(path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"] == challenge
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["instance"].endswith(answer.headers["x-request-id"])
    assert "alice" not in answer.text


@pytest.mark.parametrize("path", sorted(PROBES | PAGES))
def test_probes_and_pages_are_never_shut(guarded: Serve, path: str) -> None:
    assert guarded().get(path).status_code == 200


def test_metrics_are_open_where_the_setting_says_so(guarded: Serve) -> None:
    assert guarded(open_metrics=True).get("/metrics").status_code == 200


def test_admin_routes_take_a_key_with_that_right_alone(guarded: Serve, api: Any) -> None:
    shut = guarded()
    for path in ("/admin", "/admin/models"):
        assert shut.post(path).status_code == 401
        answer = shut.post(path, headers=ALICE)
        assert (answer.status_code, answer.json()["code"]) == (403, "key_without_right")
        assert shut.post(path, headers=ROOT).status_code != 403
        assert api.post(path).json()["code"] == "key_without_right"
    assert shut.get("/administer", headers=ALICE).status_code == 404


def test_a_quota_is_that_of_one_key(guarded: Serve) -> None:
    api = guarded("requests_per_second=0.01 burst=2")
    for _ in range(2):
        assert api.get("/models", headers=ALICE).status_code == 200
    answer = api.get("/models", headers=ALICE)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    assert 90 <= int(answer.headers["retry-after"]) <= 100
    assert api.get("/models", headers=ROOT).status_code == 200
    assert api.get("/livez", headers=ALICE).status_code == 200


def test_the_quota_of_the_settings_is_every_keys(guarded: Serve) -> None:
    api = guarded(quota=QuotaSettings(rows_per_minute=10))
    for key in (ALICE, ROOT):
        assert api.post("/sample?n=10", headers=key).status_code == 200
        answer = api.post("/sample?n=1", headers=key)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_rows")
        assert 1 <= int(answer.headers["retry-after"]) <= 6
    assert api.metric("winnow_requests_total", method="latentrs", outcome="limited") == 2


def test_latents_of_the_callers_own_are_rows_too(guarded: Serve) -> None:
    api = guarded("rows_per_minute=2")
    body = {"latents": [[0.0] * 16] * 2}
    assert api.post("/decode", headers=ALICE, json=body).status_code == 200
    for path in ("/decode", "/score", "/refine?steps=1"):
        assert api.post(path, headers=ALICE, json=body).json()["code"] == "too_many_rows"


def test_what_was_refused_or_known_already_costs_no_rows(guarded: Serve) -> None:
    api = guarded("rows_per_minute=20")
    assert api.post("/sample?n=5000", headers=ALICE).status_code == 422
    assert api.post("/sample?n=20&model=barren", headers=ALICE).json()["code"] == "rejection_stalled"
    tag = api.get("/sample?n=20&seed=1", headers=ALICE).headers["etag"]
    assert api.get("/sample?n=20&seed=1", headers={**ALICE, "If-None-Match": tag}).status_code == 304
    assert api.post("/sample?n=1", headers=ALICE).status_code == 429


def test_of_what_a_crash_or_a_broken_stream_ended_only_delivered_rows_cost_any(
    guarded: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = guarded("rows_per_minute=20")

    def crash(*_: object) -> object:
        raise KeyError

    for part, path in (("submit", "/sample?n=20"), ("stream", "/sample?n=20&format=npy")):
        with monkeypatch.context() as patch:
            patch.setattr(api.engine, part, crash)
            assert api.post(path, headers=ALICE).json()["code"] == "internal"

    async def torn(stream: RowStream) -> AsyncIterator[Portion]:
        stream.close()
        yield Portion(np.zeros((5, 16), np.float32), None, np.zeros((5, 28, 28, 1), np.uint8))
        raise KeyError

    with monkeypatch.context() as patch, pytest.raises(AssertionError):  # of httpx: the body never ended
        patch.setattr(samples, "portions_of", torn)
        api.post("/sample?n=20&format=npy", headers=ALICE)
    assert [api.post(f"/sample?n={n}", headers=ALICE).status_code for n in (16, 15, 1)] == [429, 200, 429]


def test_more_at_once_than_the_quota_is_refused_and_the_places_come_back(guarded: Serve) -> None:
    api = guarded("concurrent=2")
    for _ in range(3):
        answers = api.together([("POST", "/sample?n=200")] * 6, headers=ALICE)
        codes = [answer.json()["code"] for answer in answers if answer.status_code != 200]
        assert codes == ["too_many_at_once"] * 4


def test_the_access_line_names_the_key_and_never_the_secret(guarded: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "winnow"):
        guarded().post("/sample", headers=ALICE)
    (line,) = [vars(record) for record in caplog.records if record.name == "winnow.access"]
    assert line["key"] == "alice"
    assert "alice's" not in str([vars(record) for record in caplog.records])


def test_keys_are_read_again_and_a_broken_file_changes_nothing(
    guarded: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api = guarded()
    gate = api.app.state.service.gate
    write_keys(tmp_path / "keys", alice="", bob="")
    gate.reread()
    assert api.get("/models", headers={"X-API-Key": "bob's"}).status_code == 200
    assert api.get("/models", headers=ROOT).status_code == 401
    (tmp_path / "keys").write_text("bob:oops\n")
    gate.reread()
    assert api.get("/models", headers={"X-API-Key": "bob's"}).status_code == 200
    assert "line 1: after bob:" in vars(caplog.records[-1])["reason"]


@pytest.fixture
def crossed(serve: Serve) -> Any:
    return serve(settings=Settings(http=HttpSettings(cors_origins=("https://ours.test",))))


def preflight(api: Any, origin: str, method: str = "POST", headers: str = "x-api-key") -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return api.together([("OPTIONS", "/sample")], headers=asked)[0]


def test_other_origins_are_told_nothing_by_default(api: Any) -> None:
    for answer in (api.get("/models", headers={"Origin": "https://ours.test"}), preflight(api, "https://ours.test")):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_origin_of_the_setting_may_ask_and_read_our_headers(crossed: Any) -> None:
    answer = preflight(crossed, "https://ours.test")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://ours.test"
    for answer in (crossed.get(path, headers={"Origin": "https://ours.test"}) for path in ("/sample?seed=1", "/nope")):
        assert answer.headers["access-control-allow-origin"] == "https://ours.test"
        assert "Origin" in answer.headers["vary"]
    exposed = crossed.get("/sample?seed=1", headers={"Origin": "https://ours.test"}).headers
    shown = exposed["access-control-expose-headers"].lower().split(", ")
    assert {name for name in exposed if name.startswith("sample-")} <= set(shown)
    assert "access-control-allow-credentials" not in exposed


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://evil.test", "POST", ""),
        ("null", "POST", ""),
        ("https://ours.test", "DELETE", ""),
        ("https://ours.test", "POST", "x-admin"),
    ],
)
def test_another_origin_verb_or_header_is_a_problem(crossed: Any, origin: str, method: str, headers: str) -> None:
    answer = preflight(crossed, origin, method, headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused")
    plain = crossed.get("/models", headers={"Origin": "https://evil.test"})
    assert "access-control-allow-origin" not in plain.headers


def test_a_preflight_needs_no_key_and_a_refusal_can_be_read_by_the_page(serve: Serve, tmp_path: Path) -> None:
    auth = AuthSettings(keys_file=write_keys(tmp_path / "keys", alice=""))
    api = serve(settings=Settings(auth=auth, http=HttpSettings(cors_origins=("*",))))
    assert preflight(api, "https://any.test").status_code == 200
    answer = api.get("/models", headers={"Origin": "https://any.test"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, "*")


@pytest.mark.parametrize("path", ["/", "/docs", "/livez", "/nope", "/sample", "/openapi.json"])
def test_no_browser_guesses_a_type(api: Any, path: str) -> None:
    assert api.get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_runs_only_what_it_is_made_of(api: Any, path: str) -> None:
    answer = api.get(path)
    allowed = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert (allowed["default-src"], allowed["frame-ancestors"]) == ("'none'", "'none'")
    assert "http" not in str(allowed) and "unsafe" not in str(allowed)
    for kind in ("script", "style"):
        texts = re.findall(rf"<{kind}[^>]*>(.*?)</{kind}>", answer.text, re.DOTALL)
        hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts]
        assert allowed[f"{kind}-src"] == (" ".join(hashes) or "'none'")
    assert not re.findall(r"\son\w+=|\sstyle=", answer.text)


def test_a_page_without_scripts_runs_none() -> None:
    assert "script-src 'none'" in policy("<p>plain</p>")


def test_the_document_says_what_the_edge_answers(api: Any) -> None:
    document = api.get("/openapi.json").json()
    assert "HTTPValidationError" not in str(document)
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            statuses = set(operation["responses"])
            assert {"400", "408", "414", "431", "503"} <= statuses
            assert ({"401", "429"} <= statuses) == ("security" in operation) == (path not in PROBES)
    assert "413" in document["paths"]["/score"]["post"]["responses"]
