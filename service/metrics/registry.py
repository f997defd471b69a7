"""Every metric of the server, in one place, on a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

# A second series for each counter, which nothing here reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From half a millisecond (a 2-D point) to minutes (100,000 images on a small CPU).
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
STAGES = ("queue", "propose", "score", "refine", "decode", "encode")
OUTCOMES = ("ok", "not_modified", "invalid", "limited", "refused", "failed", "cancelled")
# Why a decoded row reached nobody: it filled up a batch; its request was cancelled or failed; a method decoded it to
# choose another, or to learn something; it was left over when its seeded request was done; its supply was dropped;
# its request wanted only the latent.
WASTE = ("padding", "cancelled", "failed", "rejected", "surplus", "evicted", "latents_only")
NO_METHOD = "none"


class Metrics:
    """One instance a server; label sets are created at 0 so that rates exist before the first event."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        pair = ("model", "method")
        self.requests = Counter(
            "winnow_requests", "Requests for samples, by how they ended.", ("method", "outcome"), registry=registry
        )
        self.samples = Counter("winnow_samples", "Samples handed over.", pair, registry=registry)
        self.proposals = Counter("winnow_proposals", "Proposals evaluated.", pair, registry=registry)
        self.accepted = Counter("winnow_accepted", "Proposals accepted, surplus included.", pair, registry=registry)
        self.expected_accepted = Counter(
            "winnow_expected_accepted", "Acceptances that the bundle's calibration foretells.", pair, registry=registry
        )
        self.weight_bound_exceeded = Counter(
            "winnow_weight_bound_exceeded", "Proposals whose weight is above the cap.", ("model",), registry=registry
        )
        self.ratio_bound_exceeded = Counter(
            "winnow_ratio_bound_exceeded",
            "Proposals whose density ratio is above the bound of the pilot run that drs rejects by.",
            ("model",),
            registry=registry,
        )
        self.mean_weight = Gauge(
            "winnow_mean_weight", "Mean importance weight of all proposals so far.", ("model",), registry=registry
        )
        self.decoded_rows = Counter(
            "winnow_decoded_rows", "Rows through a generator, padding included.", ("model",), registry=registry
        )
        self.delivered_rows = Counter(
            "winnow_delivered_rows", "Decoded rows that a request got.", ("model",), registry=registry
        )
        self.supply_rows = Gauge(
            "winnow_supply_rows", "Decoded rows that wait for a request.", ("model",), registry=registry
        )
        self.rows_wasted = Counter(
            "winnow_rows_wasted", "Decoded rows that nobody got.", ("reason",), registry=registry
        )
        self.stage_seconds = Histogram(
            "winnow_stage_duration_seconds", "Time in a stage, per batch or answer.", ("stage",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "winnow_request_duration_seconds", "Time from a request for samples to the end of its answer.",
            ("method",), buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.batch_rows = Histogram("winnow_batch_rows", "Rows of a generator call.", buckets=ROWS, registry=registry)
        self.queue_rows = Gauge("winnow_queue_rows", "Rows admitted and not yet made.", registry=registry)
        self.model_info = Gauge(
            "winnow_model_info", "1 for each model that is served.", ("model", "version", "digest"), registry=registry
        )
        self.ready = Gauge("winnow_ready", "1 while the server takes work.", registry=registry)
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        for reason in WASTE:
            self.rows_wasted.labels(reason)

    def prepare(self, models: Iterable[str], methods: Iterable[str]) -> None:
        """Create every label set of these models and methods at 0."""
        methods = tuple(methods)
        for method in (*methods, NO_METHOD):
            self.request_seconds.labels(method)
            for outcome in OUTCOMES:
                self.requests.labels(method, outcome)
        for model in models:
            for by_model in (
                self.weight_bound_exceeded, self.ratio_bound_exceeded, self.mean_weight, self.decoded_rows,
                self.delivered_rows, self.supply_rows,
            ):  # fmt: skip
                by_model.labels(model)
            for method in methods:
                for by_pair in (self.samples, self.proposals, self.accepted, self.expected_accepted):
                    by_pair.labels(model, method)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """One sample by its exposed name; a missing one is 0."""
        return self.registry.get_sample_value(name, labels) or 0.0
