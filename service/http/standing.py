"""Metrics that stand when a server opens: its limits, and every refusal at 0."""

from __future__ import annotations

from http import HTTPStatus

from service.engine.engine import Engine
from service.http.problems import CODES

# The server says no for lack of room, time or quota: the same request may succeed later.
REFUSING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
REFUSALS = tuple(code for code, (status, _) in CODES.items() if status in REFUSING)


def set_standing(engine: Engine) -> None:
    """Fill them in from a started engine; those of its models it keeps itself, they come and go."""
    metrics, options = engine.metrics, engine.options
    metrics.queue_limit_seconds.set(options.queue_seconds)
    metrics.queue_requests_limit.set(options.queue_requests)
    for code in REFUSALS:
        metrics.refused.labels(code)
