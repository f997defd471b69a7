"""Metrics that stand when a server opens: what it serves, its limits, and every refusal at 0."""

from __future__ import annotations

from http import HTTPStatus

from service.engine.engine import Engine
from service.http.problems import CODES

# The server says no for lack of room, time or quota: the same request may succeed later.
REFUSING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
REFUSALS = tuple(code for code, (status, _) in CODES.items() if status in REFUSING)


def set_standing(engine: Engine) -> None:
    """Fill them in from a started engine."""
    metrics, options, models = engine.metrics, engine.options, engine.catalog.models.values()
    broken = sum(model.broken is not None for model in models)
    metrics.models.labels("broken").set(broken)
    metrics.models.labels("ready").set(len(models) - broken)
    for model, fingerprint in engine.fingerprints.items():
        metrics.fingerprint_info.labels(model, fingerprint).set(1)
    metrics.queue_rows_limit.set(options.queue_rows)
    metrics.queue_requests_limit.set(options.queue_requests)
    metrics.batch_rows_limit.set(options.batch_rows)
    for code in REFUSALS:
        metrics.refused.labels(code)
