"""Traces: one span a request with its stages below it, part of the caller's trace."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from service.http.app import create_app
from service.settings import Settings, SettingsRefused
from service.tracing import ENDPOINTS, otlp_provider, tracer

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Traced:
    """The application with traces, and the spans that it made."""

    def __init__(self, api: Any) -> None:
        self._exporter, self._api = InMemorySpanExporter(), api
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        api.app = create_app(api.engine, Settings(), tracer=self.provider.get_tracer("winnow"))

    def ask(self, path: str, **headers: str) -> tuple[httpx.Response, list[ReadableSpan]]:
        self._exporter.clear()
        answer = self._api.post(path, headers=headers) if path.startswith("/sample") else self._api.get(path)
        return answer, sorted(self._exporter.get_finished_spans(), key=lambda span: (span.start_time, -span.end_time))


@pytest.fixture
def traced(api: Any) -> Iterator[Traced]:
    traced = Traced(api)
    yield traced
    traced.provider.shutdown()


def test_a_request_is_a_span_and_its_stages_are_spans_below_it(traced: Traced) -> None:
    answer, (root, *stages) = traced.ask("/sample?n=3", **{"X-Request-ID": "mine"})
    assert (root.name, root.kind, root.parent) == ("POST /sample", SpanKind.SERVER, None)
    attributes = dict(root.attributes)
    assert attributes == {
        "http.request.method": "POST", "http.route": "/sample", "http.response.status_code": 200,
        "winnow.request_id": "mine", "winnow.outcome": "ok", "winnow.model": "images", "winnow.method": "latentrs",
        "winnow.n": 3,
    }  # fmt: skip
    named = [part.split(";")[0] for part in answer.headers["server-timing"].split(", ")]
    assert [span.name for span in stages] == named[:-1]
    assert {"queue", "propose", "decode", "encode"} <= set(named)
    assert all(span.parent == root.context for span in stages)
    assert root.start_time == stages[0].start_time and stages[-1].end_time <= root.end_time
    for before, after in pairwise(stages):
        assert before.end_time == after.start_time


def test_the_spans_last_as_long_as_the_stages_did(traced: Traced) -> None:
    answer, (_, *stages) = traced.ask("/sample?n=40")
    told = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    for span in stages:
        assert (span.end_time - span.start_time) / 1e6 == pytest.approx(float(told[span.name]), abs=0.006)


def test_a_traceparent_is_the_parent_and_its_flag_is_obeyed(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="winnow.access"):
        _, (root, *_) = traced.ask("/sample", traceparent=f"00-{TRACE}-{PARENT}-01")
        assert (f"{root.context.trace_id:032x}", f"{root.parent.span_id:016x}") == (TRACE, PARENT)
        _, spans = traced.ask("/sample", traceparent=f"00-{TRACE}-{PARENT}-00")
        assert spans == []
        _, (fresh, *_) = traced.ask("/sample", traceparent="nonsense")
        assert fresh.parent is None
    logged = [vars(record)["trace_id"] for record in caplog.records if record.name == "winnow.access"]
    assert logged == [TRACE, TRACE, f"{fresh.context.trace_id:032x}"]


def test_only_failures_of_the_server_are_errors(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    _, [invalid] = traced.ask("/sample?n=0")
    assert (invalid.status.status_code, invalid.attributes["winnow.outcome"]) == (StatusCode.UNSET, "invalid")
    _, (stalled, *_) = traced.ask("/sample?model=barren")
    assert (stalled.status.status_code, stalled.attributes["http.response.status_code"]) == (StatusCode.ERROR, 500)


def test_probes_and_scrapes_leave_no_trace(traced: Traced) -> None:
    assert [traced.ask(path)[1] for path in ("/livez", "/readyz", "/startupz", "/metrics")] == [[]] * 4
    assert [span.name for span in traced.ask("/models/images")[1]] == ["GET /models/{name}"]


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        ("", None),
    ],
)
def test_without_traces_the_log_still_has_the_callers_trace(
    api: Any, caplog: pytest.LogCaptureFixture, header: str, trace: str | None
) -> None:
    with caplog.at_level("INFO", logger="winnow.access"):
        api.post("/sample?n=3", headers={"traceparent": header})
    [line] = [vars(record) for record in caplog.records if record.name == "winnow.access"]
    assert (line.get("trace_id"), line["rows"]) == (trace, 3)


def test_the_provider_sends_to_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = otlp_provider()
    assert provider.resource.attributes["service.name"] == "winnow"
    provider.shutdown()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fleet")
    provider = otlp_provider()
    assert provider.resource.attributes["service.name"] == "fleet"
    provider.shutdown()


def test_tracing_without_the_extra_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsRefused, match=r"pip install 'winnow\[otel\]'"):
        otlp_provider()


def test_traces_that_go_by_grpc_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(SettingsRefused, match="by HTTP, not gRPC"):
        tracer(True)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    otlp_provider().shutdown()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """No exporter is started."""
    monkeypatch.setattr("service.tracing.otlp_provider", lambda: TracerProvider(shutdown_on_exit=False))


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("wanted", "environment", "sends"),
    [
        (None, {}, False),
        (True, {}, True),
        (None, {ENDPOINTS[0]: "http://collector:4318/v1/traces"}, True),
        (None, {ENDPOINTS[1]: "http://collector:4318"}, True),
        (False, {ENDPOINTS[1]: "http://collector:4318"}, False),
        (None, {ENDPOINTS[1]: ""}, False),
        (None, {ENDPOINTS[1]: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        (None, {ENDPOINTS[1]: "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        (True, {"OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_sent_where_they_are_wanted_or_an_endpoint_is_named(
    monkeypatch: pytest.MonkeyPatch, wanted: bool | None, environment: dict[str, str], sends: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (tracer(wanted) is not None) == sends


def test_an_endpoint_without_the_extra_is_a_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setenv(ENDPOINTS[1], "http://collector:4318")
    assert tracer(None) is None
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set: tracing needs the extra otel" in caplog.text
