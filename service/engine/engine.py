"""The engine: bundles in, samples out. It knows no HTTP; only its own threads run networks on requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from functools import lru_cache
from math import inf
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import Bundle
from sampling.parameters import Parameters
from sampling.sampler import Sampler
from service.engine.accounts import Accounts
from service.engine.catalog import Catalog
from service.engine.cuda import own_stream
from service.engine.decoding import Decoder
from service.engine.devices import choose_devices, keep_bits, places_of
from service.engine.errors import DeviceStopped, Draining, Overloaded
from service.engine.evaluations import Work, check_latents, check_possible
from service.engine.jobs import Job, SampleJob
from service.engine.loop import DeviceLoop
from service.engine.memory import Lease
from service.engine.methods import Choice, bind_method, resolve_method, resolve_parameters
from service.engine.options import EngineOptions
from service.engine.orders import check_request, facts_of_job, latent_job, sample_job
from service.engine.outcomes import Turn
from service.engine.queue import JobQueue
from service.engine.returns import Returns
from service.engine.rows import Rows, SampleRequest, Samples
from service.engine.served import Served
from service.engine.shelf import Shelf
from service.engine.streaming import RowStream
from service.engine.supplies import Supplies
from service.engine.threads import usable_threads
from service.metrics.registry import Metrics

logger = logging.getLogger("winnow.engine")
# No honest batch takes this long; a longer one means that the device is gone.
WEDGED_SECONDS = 60.0
WEDGED_RETRY_SECONDS = 30
# Methods bound to bundle and parameters: a request that finds its own among them costs no binding.
MAX_BOUND = 64


class Engine:
    """``start``, then ``submit`` or ``stream`` from any thread, then ``close``. ``devices``: of each loop its own.

    Raises DeviceUnavailable.
    """

    def __init__(self, bundles: Path, default_model: str | None, options: EngineOptions, metrics: Metrics) -> None:
        self.options, self.metrics = options, metrics
        self.devices = places_of(choose_devices(options.devices), options.loops)
        self._queue = JobQueue(options, metrics, perf_counter, len(self.devices))
        self._accounts = Accounts(metrics)
        self.shelf = Shelf(bundles, default_model, options, metrics, self._queue, self._forget, self.devices)
        self._turns = [self._turn(device) for device in range(len(self.devices))]
        self._loops = [DeviceLoop(self._queue, turn, self._accounts, self._digests) for turn in self._turns]
        self._bound = lru_cache(MAX_BOUND)(_bind)
        self._started: Future[None] = Future()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"winnow-device-{number}", daemon=True)
            for number in range(len(self._loops))
        ]

    def _turn(self, device: int) -> Turn:
        supplies = Supplies(lambda supply: self._accounts.dropped(supply, "evicted"), self.options.pool_rows)
        decoder = Decoder(self.metrics, self.shelf, device)
        return Turn(self.options, self._accounts, device, decoder, supplies, Returns(self._accounts.returned_lost))

    def start(self) -> Catalog:
        """Load and warm up every bundle. Raises CatalogError when there is nothing to serve."""
        for thread in self._threads:
            thread.start()
        self._started.result()
        self.metrics.ready.set(1)
        return self.catalog

    @property
    def catalog(self) -> Catalog:
        """What is served now; another one after a model was loaded or unloaded."""
        return self.shelf.catalog

    @property
    def environment(self) -> dict[str, str | int]:
        """What bits depend on whatever the bundle."""
        return self.shelf.environment

    @property
    def fingerprints(self) -> dict[str, str]:
        """By model."""
        return {served.bundle.name: served.fingerprint for served in self.all_served()}

    def all_served(self) -> list[Served]:
        """Every model that is not broken."""
        return [model.served for model in self.catalog.models.values() if model.served is not None]

    def served(self, name: str | None) -> Served:
        """The model that a request means. Raises UnknownModel, BrokenModel."""
        served = self.catalog.find(name).served
        assert served is not None
        return served

    def model(self, name: str | None) -> Bundle:
        """Its bundle. Raises UnknownModel, BrokenModel."""
        return self.served(name).bundle

    def resolve(
        self, model: str | None, method: str | None, parameters: Mapping[str, object] | None = None,
        seeded: bool = False,
    ) -> Choice:  # fmt: skip
        """The bundle, method and parameters that a request means, all checked.

        Raises UnknownModel, BrokenModel, UnknownMethod, MethodUnavailable, InvalidParameters.
        """
        served = self.served(model)
        name = resolve_method(served.bundle, method)
        chosen = resolve_parameters(served.bundle, name, parameters or {})
        return Choice(served, name, chosen, self._bound(served, name, chosen, seeded))

    def lease(self, size: int = 0) -> Lease:
        """For what its caller holds for longer than a moment: until this ends its memory counts as taken.

        ``size``: bytes that it takes at once. Raises Overloaded where they do not fit beside those of all answers.
        """
        return self._queue.lease(size)

    def submit(
        self, request: SampleRequest, choice: Choice | None = None, lease: Lease | None = None
    ) -> Future[Samples]:
        """Admit a request now or refuse it now. Cancel the future to stop the work at the next batch.

        ``choice``: what ``resolve`` made of it, so that what was said of it before holds whatever was loaded since.
        ``lease``: without it the answer's memory is the caller's own affair once the future has it.

        Raises EngineError (what ``resolve`` raises, Overloaded, Draining, DeviceStopped), ValueError for n, seed,
        offset or timeout out of range. The future raises Stalled, GenerationFailed, DeadlineExceeded, OutOfMemory,
        Draining or DeviceStopped.
        """
        job = self._job(request, choice, lease=lease)
        self._admit(job)
        return job.future

    def stream(self, request: SampleRequest, choice: Choice | None = None) -> RowStream:
        """Like ``submit``, for an answer that is read while it is made. Close it when it is not read to its end."""
        job = self._job(request, choice, streams=True)
        self._admit(job)
        return RowStream(job, facts_of_job(job), self._queue, self._accounts)

    def evaluate(
        self, work: Work, latents: NDArray[np.float32], model: str | Served | None = None,
        timeout: float | None = None, lease: Lease | None = None,
    ) -> Future[Rows]:  # fmt: skip
        """Do ``work`` to ``latents`` float32 [n, d], in turn with everybody else; like ``submit`` otherwise.

        Raises EngineError (UnknownModel, NetworkMissing, Overloaded, ...), ValueError for latents that do not fit.
        """
        served = model if isinstance(model, Served) else self.served(model)
        check_possible(served.bundle, work)
        check_latents(latents, served.bundle.prior.dim)
        job = latent_job(work, latents, served, timeout, lease)
        self._admit(job)
        return job.future

    def dead(self) -> str | None:
        """Why nothing but a restart helps, or None."""
        if self._closing:
            return None
        stopped = (device for thread, device in zip(self._threads, self.devices, strict=True) if not thread.is_alive())
        return next((f"the loop of device {device} has stopped" for device in stopped), None)

    def unready(self) -> str | None:
        """Why no work should be sent here now, or None."""
        if self._closing:
            return "draining"
        if (reason := self.dead()) is not None:
            return reason
        return next(iter(self._wedged()), None)

    def _wedged(self) -> list[str]:
        """Of each device that does not come back from a batch: that it does not."""
        turns = zip((loop.turn_started for loop in self._loops), self.devices, strict=True)
        wedged = (device for turn, device in turns if turn is not None and perf_counter() - turn > WEDGED_SECONDS)
        return [f"a batch has been running for over {WEDGED_SECONDS:.0f} s on device {device}" for device in wedged]

    def _admit(self, job: Job) -> None:
        """Raises what the queue does; Overloaded where no device gets on, so that no one else waits for them."""
        if len(wedged := self._wedged()) == len(self.devices):
            raise Overloaded(
                f"Nothing gets on: {wedged[0]}; ask another server, or try again later.", WEDGED_RETRY_SECONDS
            )
        self._queue.submit(job)

    def measure(self) -> None:
        """Set the gauges that are read off the engine as it stands."""
        self.metrics.ready.set(self.unready() is None)
        self.metrics.queue_seconds.set(self._queue.seconds())
        on_cuda = {device for device in self.devices if device.type == "cuda"}
        self.metrics.device_memory.set(sum(map(torch.cuda.memory_allocated, on_cuda)))

    def stop_admission(self) -> None:
        """From now on submit raises Draining; what was admitted is finished."""
        self._closing = True
        self.metrics.ready.set(0)
        self._queue.close()

    def cut_off(self) -> None:
        """Admitted work that is not finished raises Draining, at the next batch."""
        self.stop_admission()
        self._queue.cut_off()

    def abandon(self) -> None:
        """Nobody waits any more, not even for a device that does not come back; the process must end now."""
        self.cut_off()
        self._loops[0].abandon(Draining("The server is shutting down, and the device did not come back in time."))

    def close(self, timeout: float | None = None) -> bool:
        """Finish what was admitted, then stop. False when that took longer than ``timeout`` seconds."""
        self.stop_admission()
        until = inf if timeout is None else perf_counter() + timeout
        for thread in self._threads:
            thread.join(None if timeout is None else max(0.0, until - perf_counter()))
        return not any(thread.is_alive() for thread in self._threads)

    def _job(
        self, request: SampleRequest, choice: Choice | None, streams: bool = False, lease: Lease | None = None
    ) -> SampleJob:
        check_request(request)
        seeded = request.seed is not None
        choice = choice or self.resolve(request.model, request.method, request.parameters, seeded)
        return sample_job(request, choice, self.options.outbox_bytes if streams else None, lease)

    def _digests(self) -> set[str]:
        """Of the bundles that are served, or that a request was admitted with."""
        return {served.bundle.digest for served in (*self.all_served(), *self._queue.needed())}

    def _forget(self, served: Served) -> None:
        """On a device thread: nobody new asks for ``served``."""
        for turn in self._turns:
            turn.supplies.drop(served.bundle.digest)
            turn.decoder.forget(served.bundle.digest)
        self._bound.cache_clear()

    def _run(self, number: int) -> None:
        loop = self._loops[number]
        # OpenMP keeps this number per thread, so it must be set in this one.
        on_cpu = sum(device.type == "cpu" for device in self.devices)
        threads = max(1, (self.options.threads or usable_threads()) // max(1, on_cpu))
        torch.set_num_threads(threads)
        if not number:
            keep_bits(self.devices)
            try:
                own_stream(self.devices[number])
                self.shelf.fill(threads)
            except BaseException as error:  # noqa: BLE001 - the caller of start() gets it
                self._started.set_exception(error)
                return
            self._started.set_result(None)
        elif self._started.exception() is not None:
            return
        try:
            if number:
                own_stream(self.devices[number])
            loop.run()
        except BaseException:
            logger.critical("the device loop has stopped", exc_info=True)
            loop.abandon(DeviceStopped("The device loop has stopped; the server must be restarted."))


def _bind(served: Served, method: str, parameters: Parameters, seeded: bool) -> tuple[Sampler, ...]:
    sizes = served.seeded_blocks if seeded else served.blocks
    return tuple(bind_method(bundle, method, parameters, sizes) for bundle in served.bundles)
