"""The real process sends its traces by OTLP, the last ones when it ends; without the extra it says what to install."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from served import Server, one_line

from winnow.cli import main

Collected = queue.SimpleQueue[tuple[str, ExportTraceServiceRequest]]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    """Whatever is sent to the endpoint that the environment names, which is all that it takes."""
    collected: Collected = queue.SimpleQueue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collected.put((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the base class
            pass

    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield collected
    receiver.shutdown()
    receiver.server_close()


def test_the_last_request_before_sigterm_is_in_the_traces(workplace: Path, collector: Collected) -> None:
    server = Server("--default-model", "points")
    assert httpx.post(f"{server.url}/sample?n=2&format=npz", timeout=60).status_code == 200
    assert server.stop() == 0
    path, request = collector.get(timeout=60)
    [resource] = request.resource_spans
    named = {item.key: item.value.string_value for item in resource.resource.attributes}
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    assert (path, named["service.name"]) == ("/v1/traces", "winnow")
    assert {"POST /sample", "decode", "encode"} <= {span.name for span in spans}
    [access] = [line for line in server.lines if line["logger"] == "winnow.access"]
    assert {span.trace_id.hex() for span in spans} == {access["trace_id"]}


def test_without_the_extra_the_start_is_refused_in_one_line(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WINNOW_TRACING", "true")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setattr("service.logs.configure_logs", lambda _: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(["serve"]) == 2
    assert "pip install 'winnow[otel]'" in one_line(capsys.readouterr().err)
