"""Weights that the quality gate rejected are not served, unless the settings say so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.engine.engine import Engine
from service.http.server import build_engine
from service.metrics.registry import Metrics
from service.settings import load_settings

REASON = "FID changes by +0.1 ± 0.05: not shown better."


def mark(folder: Path, verdict: str, reason: str | None = REASON) -> None:
    path = folder / "bundle.json"
    document = json.loads(path.read_text())
    document["importance"] |= {"verdict": verdict, "reason": reason}
    path.write_text(json.dumps(document))


@pytest.fixture
def root(bundles: Path, tmp_path: Path) -> Path:
    for name in ("images", "points"):
        shutil.copytree(bundles / name, tmp_path / name)
    mark(tmp_path / "points", "rejected")
    return tmp_path


def test_methods_that_need_rejected_weights_are_unavailable_with_the_reason(serve: Any, root: Path) -> None:
    api = serve(root, None)
    for method in ("latentrs", "latentga", "latentrsga"):
        answer = api.post(f"/sample?model=points&method={method}&n=2&format=json")
        assert answer.status_code == 422 and answer.json()["code"] == "method_unavailable"
        assert REASON.rstrip(".") in answer.json()["detail"]
        assert "WINNOW_ALLOW_REJECTED_WEIGHTS" in answer.json()["detail"]


def test_the_prior_of_such_a_bundle_is_its_default_and_shows_no_rejected_weight(serve: Any, root: Path) -> None:
    api = serve(root, None)
    answer = api.post("/sample?model=points&n=3&format=json")
    assert answer.status_code == 200 and answer.headers["Sample-Method"] == "prior"
    assert answer.json().get("weights") is None


@pytest.mark.parametrize("path", ["/score", "/refine"])
def test_rejected_weights_neither_score_nor_refine(path: str, serve: Any, root: Path) -> None:
    answer = serve(root, None).post(f"{path}?model=points", json={"latents": [[0.0, 0.0]]})
    assert answer.status_code == 422 and "rejected by the quality gate" in answer.json()["detail"]


def test_the_list_of_models_says_what_is_withheld_and_why(serve: Any, root: Path) -> None:
    api = serve(root, None)
    told = api.get("/models/points").json()
    assert "latentrs" not in told["methods"]
    assert "rejected by the quality gate" in told["method_details"]["latentrs"]["missing"][0]
    assert told["manifest"]["importance"]["verdict"] == "rejected"


@pytest.mark.parametrize("verdict", ["passed", "unchecked"])
def test_weights_that_passed_or_were_not_checked_are_served(verdict: str, serve: Any, root: Path) -> None:
    mark(root / "points", verdict, None)
    assert serve(root, None).post("/sample?model=points&method=latentrs&n=2&format=json").status_code == 200


def test_a_setting_serves_rejected_weights_all_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_ALLOW_REJECTED_WEIGHTS", "true")
    engine = build_engine(load_settings({"bundles": root}, {}), Metrics())
    engine.start()
    try:
        assert engine.resolve("points", "latentrs").method == "latentrs"
    finally:
        assert engine.close(timeout=60)


def test_a_model_that_is_loaded_later_is_held_to_the_same_rule(start: Callable[..., Engine], root: Path) -> None:
    engine = start(root)
    mark(root / "images", "rejected")
    engine.shelf.load("images")
    assert engine.model("images").importance is None
    assert engine.model("images").withheld["importance"].startswith("rejected by the quality gate")


def test_a_bundle_without_and_with_its_weights_never_shares_a_digest(start: Callable[..., Engine], root: Path) -> None:
    refused, allowed = start(root), start(root, allow_rejected_weights=True)
    assert refused.fingerprints["points"] != allowed.fingerprints["points"]
    assert refused.fingerprints["images"] == allowed.fingerprints["images"]


def test_a_browser_gets_the_page_of_the_report_and_everybody_else_the_numbers(serve: Any, root: Path) -> None:
    (root / "points" / "report.json").write_text('{"fid": 1}')
    api = serve(root, None)
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    assert api.get("/models/points/report", headers=browser).json() == {"fid": 1}
    (root / "points" / "report.html").write_text("<!doctype html><title>x</title><script>alert(1)</script>")
    page = api.get("/models/points/report", headers=browser)
    assert page.headers["Content-Type"].startswith("text/html") and page.text.startswith("<!doctype html>")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script" not in policy and "sandbox" in policy
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.9"):
        answer = api.get("/models/points/report", headers={"Accept": accept})
        assert answer.json() == {"fid": 1} and answer.headers["Vary"] == "Accept"
