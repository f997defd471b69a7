"""Every metric of the server, in one place, on a registry of its own. docs/metrics.md is made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import product
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.registry import Collector

from service.metrics.exposition import Exposition

# A second series for each counter, which nothing here reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From half a millisecond (a 2-D point) to minutes (100,000 images on a small CPU).
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
STAGES = ("queue", "propose", "score", "refine", "decode", "transfer", "encode")
OUTCOMES = ("ok", "not_modified", "invalid", "limited", "refused", "failed", "cancelled")
# Why a decoded row reached nobody: it filled up a batch; its request was cancelled or failed; a method decoded it to
# choose another, or to learn something; it was left over when its seeded request was done; its supply was dropped;
# its request wanted only the latent.
WASTE = ("padding", "cancelled", "failed", "rejected", "surplus", "evicted", "latents_only")
# Why a batch was sent to the device: no further row fitted, or no further row was there.
BATCH_REASONS = ("full", "drained")
POOL_RESULTS = ("hit", "miss")
MODEL_STATES = ("ready", "broken")
NO_METHOD = "none"
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
OTHER_VERB = "_OTHER"
NO_ROUTE = "unmatched"


class Known(StrEnum):
    """Label values that are known only once a server runs, in the words of docs/metrics.md."""

    MODEL = "the models that are served"
    METHOD = "the sampling methods"
    ASKED = f"the sampling methods, `{NO_METHOD}` where the request named none that exists"
    CODE = "the error codes of status 429, 503 and 504"
    ROUTE = f"the path templates of /docs, `{NO_ROUTE}` for all other paths"
    VERB = f"the HTTP methods, `{OTHER_VERB}` for words that are none"
    STATUS = "the status codes sent, `499` where the client hung up first"
    VERSION = "as in the bundle"
    DIGEST = "of the bundle, its first 12 characters"
    FINGERPRINT = "as in Sample-Fingerprint"


Values = tuple[str, ...] | Known
# Of metrics whose label sets go when another bundle comes.
CLEARED = {Known.VERSION, Known.DIGEST, Known.FINGERPRINT}
Made = TypeVar("Made", Counter, Gauge, Histogram)


@dataclass(frozen=True)
class Description:
    """One metric as it is exposed; ``labels`` with the values that each may have."""

    name: str
    kind: str
    unit: str
    labels: Mapping[str, Values]
    meaning: str


class Metrics:
    """One instance a server; label sets are created at 0 so that rates exist before the first event."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._collectors: list[Collector] = [ProcessCollector(registry=self.registry)]
        self._exposition = Exposition(self._collectors)
        self.described: list[Description] = []
        self._made: list[tuple[Any, Mapping[str, Values]]] = []
        self._requests()
        self._sampling()
        self._device()
        self._standing()

    def _requests(self) -> None:
        asked: dict[str, Values] = {"method": Known.ASKED}
        http: dict[str, Values] = {
            "http_request_method": Known.VERB, "http_route": Known.ROUTE, "http_response_status_code": Known.STATUS,
        }  # fmt: skip
        self.requests = self._make(
            Counter, "winnow_requests", "requests", "Requests for samples, by how they ended.",
            {**asked, "outcome": OUTCOMES},
        )  # fmt: skip
        self.request_seconds = self._make(
            Histogram, "winnow_request_duration_seconds", "seconds",
            "Time from a request for samples to the end of its answer.", asked, SECONDS,
        )  # fmt: skip
        self.first_byte_seconds = self._make(
            Histogram, "winnow_time_to_first_byte_seconds", "seconds",
            "Time from a request for samples to the first byte of its answer.", asked, SECONDS,
        )  # fmt: skip
        self.refused = self._make(
            Counter, "winnow_refused", "requests", "Requests refused for lack of room, time or quota, by error code.",
            {"code": Known.CODE},
        )  # fmt: skip
        self.http_seconds = self._make(
            Histogram, "http_server_request_duration_seconds", "seconds",
            "Time of any HTTP request (OpenTelemetry's http.server.request.duration).", http, SECONDS,
        )  # fmt: skip

    def _sampling(self) -> None:
        model: dict[str, Values] = {"model": Known.MODEL}
        pair: dict[str, Values] = {**model, "method": Known.METHOD}
        self.samples = self._make(Counter, "winnow_samples", "rows", "Samples handed over.", pair)
        self.proposals = self._make(Counter, "winnow_proposals", "proposals", "Proposals evaluated.", pair)
        self.accepted = self._make(
            Counter, "winnow_accepted", "proposals", "Proposals accepted, surplus included.", pair
        )
        self.expected_accepted = self._make(
            Counter, "winnow_expected_accepted", "proposals",
            "Acceptances that the bundle's calibration foretells.", pair,
        )  # fmt: skip
        self.weight_bound_exceeded = self._make(
            Counter, "winnow_weight_bound_exceeded", "proposals", "Proposals whose weight is above the cap.", model
        )
        self.ratio_bound_exceeded = self._make(
            Counter, "winnow_ratio_bound_exceeded", "proposals",
            "Proposals whose density ratio is above the bound of the pilot run that drs rejects by.", model,
        )  # fmt: skip
        self.mean_weight = self._make(
            Gauge, "winnow_mean_weight", "1",
            "Mean importance weight of all proposals so far, 0 before the first.", model,
        )  # fmt: skip
        self.pool_latents = self._make(
            Gauge, "winnow_pool_latents", "rows", "Accepted latents in stock for unseeded requests.", pair
        )
        self.pool_requests = self._make(
            Counter, "winnow_pool_requests", "requests",
            "Unseeded requests that a stock is kept for, by whether it held what their first batch takes.",
            {"result": POOL_RESULTS},
        )  # fmt: skip

    def _device(self) -> None:
        model: dict[str, Values] = {"model": Known.MODEL}
        self.decoded_rows = self._make(
            Counter, "winnow_decoded_rows", "rows", "Rows through a generator, padding included.", model
        )
        self.delivered_rows = self._make(
            Counter, "winnow_delivered_rows", "rows", "Decoded rows that a request got.", model
        )
        self.supply_rows = self._make(
            Gauge, "winnow_supply_rows", "rows", "Decoded rows that wait for a request.", model
        )
        self.rows_wasted = self._make(
            Counter, "winnow_rows_wasted", "rows", "Decoded rows that nobody got.", {"reason": WASTE}
        )
        self.stage_seconds = self._make(
            Histogram, "winnow_stage_duration_seconds", "seconds", "Time in a stage, per batch or answer.",
            {"stage": STAGES}, SECONDS,
        )  # fmt: skip
        self.batch_rows = self._make(Histogram, "winnow_batch_rows", "rows", "Rows of a generator call.", {}, ROWS)
        self.batches = self._make(
            Counter, "winnow_batches", "batches", "Batches sent to the device, by why no further row was added.",
            {"reason": BATCH_REASONS},
        )  # fmt: skip
        self.queue_rows = self._make(Gauge, "winnow_queue_rows", "rows", "Rows admitted and not yet made.", {})
        self.queue_requests = self._make(
            Gauge, "winnow_queue_requests", "requests", "Requests admitted and not yet done.", {}
        )
        self.queue_seconds = self._make(
            Gauge, "winnow_queue_seconds", "seconds", "Device time that admitted requests still need, as far as known.",
            {},
        )  # fmt: skip
        self.device_memory = self._make(
            Gauge, "winnow_device_memory_bytes", "bytes", "Accelerator memory that tensors hold; 0 on a CPU.", {}
        )
        self.oom = self._make(
            Counter, "winnow_oom", "batches", "Batches and blocks of proposals that did not fit the device's memory.",
            {},
        )  # fmt: skip

    def _standing(self) -> None:
        """What changes seldom or never while a server runs."""
        model: dict[str, Values] = {"model": Known.MODEL}
        self.ready = self._make(Gauge, "winnow_ready", "1", "1 while the server takes work, as /readyz says.", {})
        self.models = self._make(
            Gauge, "winnow_models", "models", "Bundles found, by whether they could be loaded.", {"state": MODEL_STATES}
        )
        self.model_info = self._make(
            Gauge, "winnow_model_info", "1", "1 for each model that is served.",
            {**model, "version": Known.VERSION, "digest": Known.DIGEST},
        )  # fmt: skip
        self.fingerprint_info = self._make(
            Gauge, "winnow_fingerprint_info", "1", "1 for each model and what its seeded bytes depend on.",
            {**model, "fingerprint": Known.FINGERPRINT},
        )  # fmt: skip
        self.queue_limit_seconds = self._make(
            Gauge,
            "winnow_queue_limit_seconds",
            "seconds",
            "What any request may have to wait for others (engine.queue_seconds).",
            {},
        )
        self.queue_requests_limit = self._make(
            Gauge, "winnow_queue_requests_limit", "requests", "How many may wait (engine.queue_requests).", {}
        )
        self.batch_rows_limit = self._make(
            Gauge, "winnow_batch_rows_limit", "rows", "The largest generator call.", model
        )

    def prepare(self, models: Iterable[str], methods: Iterable[str]) -> None:
        """Create every label set of these models and methods at 0."""
        methods = tuple(methods)
        known = {Known.MODEL: tuple(models), Known.METHOD: methods, Known.ASKED: (*methods, NO_METHOD)}
        for made, labels in self._made:
            sets = [values if isinstance(values, tuple) else known.get(values) for values in labels.values()]
            if sets and None not in sets:
                for label_set in product(*(values for values in sets if values is not None)):
                    made.labels(*label_set)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return self._exposition.render()

    def value(self, name: str, **labels: str) -> float:
        """One sample by its exposed name; a missing one is 0."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def _make(
        self, kind: type[Made], name: str, unit: str, meaning: str, labels: Mapping[str, Values],
        buckets: tuple[float, ...] | None = None,
    ) -> Made:  # fmt: skip
        options: dict[str, Any] = {} if buckets is None else {"buckets": buckets}
        made = kind(name, meaning, tuple(labels), registry=self.registry, **options)
        if labels and not CLEARED & set(labels.values()):
            # Their values are few; looking one up in the library costs as much as counting it.
            made.labels = cache(made.labels)  # type: ignore[method-assign]
        self._collectors.append(made)
        self._made.append((made, labels))
        exposed = f"{name}_total" if kind is Counter else name
        self.described.append(Description(exposed, kind.__name__.lower(), unit, labels, meaning))
        return made
