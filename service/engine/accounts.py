"""What the devices write into the metrics: every row is counted once, as delivered, as wasted or as waiting."""

from __future__ import annotations

from threading import Lock

from service.engine.jobs import Job, SampleJob
from service.engine.supply import Evaluated, Supply
from service.metrics.registry import Metrics


class Accounts:
    """The bookkeeping of the devices.

    Decoded rows = delivered rows + wasted rows + rows that wait in a supply, whenever they are idle.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = Lock()
        self._weights: dict[str, tuple[float, int]] = {}
        # Of each pool: what its gauge says that it holds.
        self._stocked: dict[Supply, int] = {}

    def evaluated(self, supply: Supply, block: Evaluated, seconds: float) -> None:
        metrics, model, method = self._metrics, supply.bundle.name, supply.sampler.method
        metrics.stage_seconds.labels("propose").observe(seconds)
        metrics.proposals.labels(model, method).inc(block.cost.proposals)
        metrics.accepted.labels(model, method).inc(block.cost.accepted)
        if supply.sampler.expected_acceptance is not None:
            expected = block.cost.proposals * supply.sampler.expected_acceptance
            metrics.expected_accepted.labels(model, method).inc(expected)
        if block.weight_rows:
            with self._lock:
                total, count = self._weights.get(model, (0.0, 0))
                total, count = total + block.weight_sum, count + block.weight_rows
                self._weights[model] = (total, count)
            metrics.mean_weight.labels(model).set(total / count)
            metrics.weight_bound_exceeded.labels(model).inc(block.above_cap)
        metrics.ratio_bound_exceeded.labels(model).inc(block.cost.above_bound)
        if block.cost.generator_rows:
            metrics.decoded_rows.labels(model).inc(block.cost.generator_rows)
            metrics.rows_wasted.labels("rejected").inc(block.cost.generator_rows - block.decoded)
            metrics.supply_rows.labels(model).inc(block.decoded)

    def taken(self, model: str, rows: int) -> None:
        """``rows`` that a method had decoded leave their supply for a request."""
        self._metrics.supply_rows.labels(model).dec(rows)

    def asked(self, short: bool, requests: int) -> None:
        """``requests`` came to a pool, which held all they asked for, or was ``short`` of it."""
        self._metrics.pool_requests.labels("miss" if short else "hit").inc(requests)

    def stock(self, supply: Supply) -> None:
        """What a pool holds now."""
        gauge = self._metrics.pool_latents.labels(supply.bundle.name, supply.sampler.method)
        gauge.inc(supply.ready - self._stocked.get(supply, 0))
        self._stocked[supply] = supply.ready

    def dropped(self, supply: Supply, reason: str) -> None:
        """A supply goes, and with it what it had decoded."""
        if held := self._stocked.pop(supply, 0):
            self._metrics.pool_latents.labels(supply.bundle.name, supply.sampler.method).dec(held)
        if rows := supply.decoded:
            self._metrics.supply_rows.labels(supply.bundle.name).dec(rows)
            self._metrics.rows_wasted.labels(reason).inc(rows)

    def surplus(self, model: str, rows: int) -> None:
        """``rows`` that a method decoded before the first one that is wanted leave their supply."""
        self._metrics.supply_rows.labels(model).dec(rows)
        self._metrics.rows_wasted.labels("surplus").inc(rows)

    def unwanted(self, rows: int) -> None:
        """Rows that a method had to decode for a request that wanted only their latents."""
        self._metrics.rows_wasted.labels("latents_only").inc(rows)

    def given(self, job: SampleJob, arrived: bool, rows: int) -> None:
        """``rows`` decoded rows went to ``job``. A streaming one's wait for their reader; of one that is over, they are
        nobody's."""
        if not arrived:
            self._metrics.rows_wasted.labels("cancelled").inc(rows)
        elif job.outbox is not None:
            self._metrics.supply_rows.labels(job.model).inc(rows)

    def lost(self, rows: int) -> None:
        """``rows`` were decoded for a request that failed before it could take them."""
        self._metrics.rows_wasted.labels("failed").inc(rows)

    def read(self, job: SampleJob, rows: int) -> None:
        """The reader of a streaming job took ``rows``."""
        self._metrics.samples.labels(job.model, job.choice.method).inc(rows)
        if job.decode:
            self._metrics.supply_rows.labels(job.model).dec(rows)
            self._metrics.delivered_rows.labels(job.model).inc(rows)

    def unread(self, job: SampleJob, rows: int) -> None:
        """The reader of a streaming job is gone, and ``rows`` lay ready for it."""
        if job.decode:
            self._metrics.supply_rows.labels(job.model).dec(rows)
            self._metrics.rows_wasted.labels("cancelled").inc(rows)

    def decoded(self, model: str, rows: int, padding: int, seconds: float) -> None:
        self._metrics.decoded_rows.labels(model).inc(rows)
        self._metrics.rows_wasted.labels("padding").inc(padding)
        self._metrics.batch_rows.observe(rows)
        self._metrics.stage_seconds.labels("decode").observe(seconds)

    def batch(self, full: bool) -> None:
        """A generator call was made, with as many useful rows as it holds or with all there were."""
        self._metrics.batches.labels("full" if full else "drained").inc()

    def stage(self, stage: str, seconds: float) -> None:
        self._metrics.stage_seconds.labels(stage).observe(seconds)

    def delivered(self, job: Job) -> None:
        """All of ``job`` is done; a streaming one's rows were counted one by one, as they were read."""
        if isinstance(job, SampleJob) and job.outbox is None:
            self._metrics.samples.labels(job.model, job.choice.method).inc(job.n)
        self._metrics.delivered_rows.labels(job.model).inc(job.decoded)
        self._left(job)

    def returned(self, job: SampleJob) -> None:
        """What was made for ``job`` waits for the next one that asks the same."""
        self._metrics.supply_rows.labels(job.model).inc(job.decoded)

    def returned_lost(self, model: str, rows: int) -> None:
        """Such rows whose model has left, or that made room for others."""
        self._metrics.supply_rows.labels(model).dec(rows)
        self._metrics.rows_wasted.labels("evicted").inc(rows)

    def wasted(self, job: Job, reason: str) -> None:
        self._metrics.rows_wasted.labels(reason).inc(job.decoded)
        self._left(job)

    def _left(self, job: Job) -> None:
        """Past the end of a seeded request nobody can use what its own stream still holds."""
        if isinstance(job, SampleJob) and job.supply is not None:
            self.dropped(job.supply, "surplus")
