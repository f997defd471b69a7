"""The registry: pages made from it are current, its text is the client library's, and the HTTP layer feeds it."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic.fields import FieldInfo
from tiny_bundles import BATCH

from service import settings_page
from service.engine.errors import Overloaded
from service.http.problems import CODES
from service.http.standing import REFUSALS
from service.metrics import page
from service.metrics.exposition import Exposition
from service.metrics.registry import NO_METHOD, NO_ROUTE, OTHER_VERB, Known, Metrics
from service.settings import known_names

DOCS = Path(__file__).parents[2] / "docs"
HTTP = "http_server_request_duration_seconds"


def test_the_page_of_metrics_is_current() -> None:
    assert (DOCS / "metrics.md").read_text() == page.page(), "run python -m service.metrics.page"


def test_the_page_of_settings_is_current_and_has_every_setting() -> None:
    text = (DOCS / "settings.md").read_text()
    assert text == settings_page.page(), "run python -m service.settings_page"
    assert all(f"| `{name}` |" in text for name in known_names())


def test_a_setting_without_a_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="the setting log needs a docstring"):
        settings_page.row("log", FieldInfo(default="auto"))


def test_names_and_units_follow_the_conventions_of_prometheus() -> None:
    for metric in Metrics().described:
        assert metric.name.startswith("winnow_") or metric.name == HTTP
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_seconds") == (metric.unit == "seconds")
        assert metric.meaning.endswith(".")


def test_every_closed_label_set_exists_at_zero() -> None:
    metrics = Metrics()
    metrics.prepare(["m"], ["prior", "mh"])
    known = {Known.MODEL: ("m",), Known.METHOD: ("prior", "mh"), Known.ASKED: ("prior", "mh", NO_METHOD)}
    text = metrics.exposition().decode()
    for metric in metrics.described:
        sets = [values if isinstance(values, tuple) else known.get(values) for values in metric.labels.values()]
        if None in sets:
            continue
        name = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
        for values in product(*sets):
            labels = ",".join(f'{label}="{value}"' for label, value in zip(metric.labels, values, strict=True))
            assert f"\n{name}{{{labels}}} 0.0\n" in text if labels else f"\n{name} 0.0\n" in text


def test_the_text_says_what_the_client_library_would() -> None:
    metrics = Metrics()
    metrics.prepare(["m"], ["prior"])
    metrics.stage_seconds.labels("decode").observe(0.003)
    metrics.samples.labels("m", "prior").inc(3)
    ours, theirs = (
        [(family.name, family.type, family.documentation, sample) for family in text_string_to_metric_families(text)
         for sample in family.samples if not family.name.startswith("process_")]
        for text in (metrics.exposition().decode(), generate_latest(metrics.registry).decode())
    )  # fmt: skip
    assert ours == theirs and len(ours) > 100


def test_the_text_escapes_and_writes_every_number() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("odd", 'a \\ and "quotes"\nand lines', ("label",), registry=registry)
    plain = Counter("plain", "no labels", registry=registry)
    plain.inc(1e17)
    for value, label in ((float("inf"), 'a"b'), (float("-inf"), "a\\b"), (0.1, "a\nb"), (-2, "é")):
        gauge.labels(label).set(value)
    exposition = Exposition([gauge, plain])
    gauge.labels("a\nb").set(0.25)
    found, expected = (
        [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
        for text in (exposition.render(), generate_latest(registry))
    )
    assert [sample for sample in found if sample.name == "odd"] == [s for s in expected if s.name == "odd"]
    assert next(sample.value for sample in found if sample.name == "plain_total") == 1e17


def test_http_requests_are_counted_by_template_never_by_path(api: Any) -> None:
    for name in ("images", "points", "nope"):
        api.get(f"/models/{name}")
    api.get("/wp-admin.php")
    api.get("/etc/passwd")
    api.together([("BREW", "/sample")])
    route = {"http_request_method": "GET", "http_route": "/models/{name}"}
    assert api.metric(f"{HTTP}_count", **route, http_response_status_code="200") == 2
    assert api.metric(f"{HTTP}_count", **route, http_response_status_code="404") == 1
    unknown = {"http_request_method": "GET", "http_route": NO_ROUTE, "http_response_status_code": "404"}
    assert api.metric(f"{HTTP}_count", **unknown) == 2
    odd = {"http_request_method": OTHER_VERB, "http_route": "/sample", "http_response_status_code": "405"}
    assert api.metric(f"{HTTP}_count", **odd) == 1
    assert "passwd" not in api.get("/metrics").text


def test_the_first_byte_comes_before_the_last(api: Any) -> None:
    api.post("/sample?n=3")
    first, whole = (
        api.metric(f"winnow_{name}_seconds_sum", method="latentrs")
        for name in ("time_to_first_byte", "request_duration")
    )
    assert 0 < first < whole
    assert api.metric("winnow_time_to_first_byte_seconds_count", method="latentrs") == 1
    assert api.metric("winnow_time_to_first_byte_seconds_count", method="prior") == 0


def test_refusals_are_counted_by_code(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"overloaded", "draining"} <= set(REFUSALS)
    assert all(CODES[code][0] in (429, 503, 504) for code in REFUSALS)
    assert all(f'winnow_refused_total{{code="{code}"}} 0.0' in api.get("/metrics").text for code in REFUSALS)

    def full(*_: object) -> None:
        raise Overloaded("full", 3)

    with monkeypatch.context() as patch:
        patch.setattr(api.engine, "submit", full)
        api.post("/sample")
    api.engine.stop_admission()
    api.post("/sample")
    api.post("/sample?method=nope")
    assert api.metric("winnow_refused_total", code="overloaded") == 1
    assert api.metric("winnow_refused_total", code="draining") == 1
    assert sum(api.metric("winnow_refused_total", code=code) for code in REFUSALS) == 2


def test_a_scrape_says_ready_as_readyz_does(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\nwinnow_ready 1.0\n" in api.get("/metrics").text
    with monkeypatch.context() as patch:
        patch.setattr(api.engine, "unready", lambda: "a batch has been running for over 60 s")
        assert api.get("/readyz").status_code == 503
        assert "\nwinnow_ready 0.0\n" in api.get("/metrics").text
    assert "\nwinnow_ready 1.0\n" in api.get("/metrics").text


def test_what_a_server_serves_and_its_limits_stand_from_the_start(serve: Any, bundles: Path, tmp_path: Path) -> None:
    (tmp_path / "points").symlink_to(bundles / "points")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "bundle.json").write_text("{}")
    api = serve(tmp_path, None, queue_seconds=20.0, queue_requests=7)
    assert [api.metric("winnow_models", state=state) for state in ("ready", "broken")] == [1, 1]
    assert (api.metric("winnow_queue_limit_seconds"), api.metric("winnow_queue_requests_limit")) == (20, 7)
    assert api.metric("winnow_batch_rows_limit", model="points") == BATCH
    fingerprint = api.post("/sample").headers["sample-fingerprint"]
    assert api.metric("winnow_fingerprint_info", model="points", fingerprint=fingerprint) == 1
