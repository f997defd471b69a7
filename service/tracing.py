"""OpenTelemetry traces, behind the extra ``otel``: a span a request, below it one a stage.

Spans are made when a request is over, from the times that its record holds: nothing is traced while it is served.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from time import perf_counter, time_ns
from typing import TYPE_CHECKING

from service.settings import SettingsRefused

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

Attributes = Mapping[str, str | int | float | bool]
logger = logging.getLogger("winnow.tracing")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def tracer(wanted: bool | None) -> Tracer | None:
    """None without traces. ``wanted`` None: where the environment names an endpoint; what is in the way is then a line
    of the log, while a wish that cannot be met raises SettingsRefused."""
    endpoint = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    asked = wanted if wanted is not None else endpoint is not None and exporter == "otlp"
    if not asked or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        return otlp_provider().get_tracer("winnow")
    except SettingsRefused as error:
        if wanted:
            raise
        logger.warning("no traces, although %s is set: %s", endpoint, error)
        return None


def otlp_provider() -> TracerProvider:
    """Spans go out in the background by OTLP over HTTP; OTEL_EXPORTER_OTLP_* say where, OTEL_SERVICE_NAME as what.

    Raises SettingsRefused without the extra, or where another protocol is wanted.
    """
    protocols = [os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("TRACES_PROTOCOL", "PROTOCOL")]
    if next(filter(None, protocols), "") == "grpc":
        raise SettingsRefused(
            "traces go by HTTP, not gRPC: set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf and the endpoint to the "
            "collector's port for HTTP (4318 as a rule), or set tracing off"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsRefused("tracing needs the extra otel: pip install 'winnow[otel]', or set tracing off") from error
    resource = Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or "winnow"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def trace_request(
    tracer: Tracer,
    name: str,
    headers: Mapping[str, str],
    started: float,
    stages: Mapping[str, float],
    attributes: Attributes,
    failed: bool,
) -> str:
    """Record a request that began at ``started`` (perf_counter) and ends now; its trace id, 32 hexadecimal digits.

    ``headers``: those of the request; a ``traceparent`` among them is the parent, and its sampling flag is obeyed.
    ``stages``: seconds a stage. Stages alternate batch by batch, so a stage's span has its total length, and the
    spans stand one after another.
    """
    from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    end = time_ns()
    begin = end - _nanoseconds(perf_counter() - started)
    parent = TraceContextTextMapPropagator().extract(headers)
    span = tracer.start_span(name, parent, SpanKind.SERVER, attributes, start_time=begin)
    if failed:
        span.set_status(StatusCode.ERROR)
    below, at = set_span_in_context(span), begin
    for stage, seconds in stages.items():
        child = tracer.start_span(stage, below, start_time=at)
        at += _nanoseconds(seconds)
        child.end(at)
    span.end(end)
    return f"{span.get_span_context().trace_id:032x}"


def _nanoseconds(seconds: float) -> int:
    return round(1e9 * seconds)
