"""What the device loop writes into the metrics: every row is counted once, as delivered or as wasted."""

from __future__ import annotations

from service.engine.jobs import Job
from service.engine.supply import Evaluated, Supply
from service.metrics.registry import Metrics


class Accounts:
    """The bookkeeping of the device loop; decoded rows = delivered rows + wasted rows whenever it is idle."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._weights: dict[str, tuple[float, int]] = {}

    def evaluated(self, supply: Supply, block: Evaluated, seconds: float) -> None:
        metrics, bundle, sampler = self._metrics, supply.bundle, supply.sampler
        metrics.stage_seconds.labels("propose").observe(seconds)
        metrics.proposals.labels(bundle.name, sampler.method).inc(block.cost.proposals)
        metrics.accepted.labels(bundle.name, sampler.method).inc(block.cost.accepted)
        if sampler.expected_acceptance is not None:
            expected = block.cost.proposals * sampler.expected_acceptance
            metrics.expected_accepted.labels(bundle.name, sampler.method).inc(expected)
        if block.weight_sum is not None:
            total, count = self._weights.get(bundle.name, (0.0, 0))
            total, count = total + block.weight_sum, count + block.cost.proposals
            self._weights[bundle.name] = (total, count)
            metrics.mean_weight.labels(bundle.name).set(total / count)
            metrics.weight_bound_exceeded.labels(bundle.name).inc(block.above_cap)

    def decoded(self, model: str, rows: int, padding: int, seconds: float) -> None:
        self._metrics.decoded_rows.labels(model).inc(rows)
        self._metrics.rows_wasted.labels("padding").inc(padding)
        self._metrics.batch_rows.observe(rows)
        self._metrics.stage_seconds.labels("decode").observe(seconds)

    def started(self, seconds: float) -> None:
        self._metrics.stage_seconds.labels("queue").observe(seconds)

    def delivered(self, job: Job) -> None:
        self._metrics.samples.labels(job.model.name, job.method).inc(job.request.n)
        self._metrics.delivered_rows.labels(job.model.name).inc(job.decoded)

    def wasted(self, job: Job, reason: str) -> None:
        self._metrics.rows_wasted.labels(reason).inc(job.decoded)
