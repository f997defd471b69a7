"""The engine: bundles in, futures of samples out. It knows no HTTP; only its own thread touches torch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import Bundle
from sampling.methods import METHODS
from sampling.parameters import Parameters
from sampling.sampler import Sampler
from sampling.streams import MAX_SEED
from service.engine.accounts import Accounts
from service.engine.catalog import Catalog, load_catalog
from service.engine.errors import GenerationFailed
from service.engine.evaluations import LatentJob, Work, check_latents, check_possible
from service.engine.fingerprint import environment, fingerprint, probe_bits
from service.engine.jobs import Job, Rows, SampleJob, SampleRequest, Samples
from service.engine.loop import DeviceLoop
from service.engine.methods import Choice, bind_method, resolve_method, resolve_parameters
from service.engine.options import EngineOptions
from service.engine.queue import JobQueue
from service.engine.supplies import Supplies
from service.engine.threads import usable_threads
from service.engine.turns import Turn
from service.metrics.registry import Metrics

logger = logging.getLogger("winnow.engine")
# No honest batch takes this long; a longer one means that the device is gone.
WEDGED_SECONDS = 60.0
# Methods bound to bundle and parameters: a request that finds its own among them costs no binding.
MAX_BOUND = 64


class Engine:
    """``start``, then ``submit`` from any thread, then ``close``. One instance is one device loop."""

    def __init__(self, bundles: Path, default_model: str | None, options: EngineOptions, metrics: Metrics) -> None:
        self.options, self.metrics = options, metrics
        self.catalog = Catalog({}, "")
        self.fingerprints: dict[str, str] = {}
        self.environment: dict[str, str | int] = {}
        self._bundles, self._default_model = bundles, default_model
        self._queue = JobQueue(options, metrics)
        accounts = Accounts(metrics)
        supplies = Supplies(lambda supply: accounts.dropped(supply, "evicted"))
        self._loop = DeviceLoop(self._queue, Turn(options, accounts, supplies), accounts, self.fingerprints)
        self._bound = lru_cache(MAX_BOUND)(self._bind)
        self._started: Future[Catalog] = Future()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="winnow-device", daemon=True)

    def start(self) -> Catalog:
        """Load and warm up every bundle. Raises CatalogError when there is nothing to serve."""
        self._thread.start()
        self.catalog = self._started.result()
        self.metrics.ready.set(1)
        return self.catalog

    def model(self, name: str | None) -> Bundle:
        """The bundle that a request means. Raises UnknownModel, BrokenModel."""
        bundle = self.catalog.find(name).bundle
        assert bundle is not None
        return bundle

    def resolve(self, model: str | None, method: str | None, parameters: Mapping[str, object] | None = None) -> Choice:
        """The bundle, method and parameters that a request means, all checked.

        Raises UnknownModel, BrokenModel, UnknownMethod, MethodUnavailable, InvalidParameters.
        """
        bundle = self.model(model)
        name = resolve_method(bundle, method)
        chosen = resolve_parameters(bundle, name, parameters or {})
        return Choice(bundle, name, chosen, self._bound(bundle.name, name, chosen))

    def submit(self, request: SampleRequest) -> Future[Samples]:
        """Admit a request now or refuse it now. Cancel the future to stop the work at the next batch.

        Raises EngineError (what ``resolve`` raises, Overloaded, Draining), ValueError for n or seed out of range.
        The future raises Stalled or GenerationFailed.
        """
        if request.n < 1:
            raise ValueError(f"n must be at least 1, not {request.n}")
        if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
            raise ValueError(f"the seed must lie in [0, {MAX_SEED}], not {request.seed}")
        choice = self.resolve(request.model, request.method, request.parameters)
        bundle = choice.bundle
        job = SampleJob(
            n=request.n, model=bundle.name, bundle=bundle, admitted=perf_counter(),
            choice=choice, seed=request.seed, decode=request.decode,
        )  # fmt: skip
        return self._admit(job)

    def evaluate(self, work: Work, latents: NDArray[np.float32], model: str | None = None) -> Future[Rows]:
        """Do ``work`` to ``latents`` float32 [n, d], in turn with everybody else; like ``submit`` otherwise.

        Raises EngineError (UnknownModel, NetworkMissing, Overloaded, ...), ValueError for latents that do not fit.
        """
        bundle = self.model(model)
        check_possible(bundle, work)
        check_latents(latents, bundle.prior.dim)
        job = LatentJob(
            n=len(latents), model=bundle.name, bundle=bundle, admitted=perf_counter(), work=work, latents=latents
        )
        return self._admit(job)

    def unready(self) -> str | None:
        """Why no work should be sent here now, or None."""
        if self._closing:
            return "draining"
        if not self._thread.is_alive():
            return "the device loop has stopped"
        turn = self._loop.turn_started
        if turn is not None and perf_counter() - turn > WEDGED_SECONDS:
            return f"a batch has been running for over {WEDGED_SECONDS:.0f} s"
        return None

    def stop_admission(self) -> None:
        """From now on submit raises Draining; what was admitted is finished."""
        self._closing = True
        self.metrics.ready.set(0)
        self._queue.close()

    def cut_off(self) -> None:
        """Admitted work that is not finished raises Draining, at the next batch."""
        self.stop_admission()
        self._queue.cut_off = True

    def close(self, timeout: float | None = None) -> bool:
        """Finish what was admitted, then stop. False when that took longer than ``timeout`` seconds."""
        self.stop_admission()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _admit(self, job: Job) -> Future[Any]:
        self._queue.submit(job)
        return job.future

    def _bind(self, model: str, method: str, parameters: Parameters) -> Sampler:
        return bind_method(self.model(model), method, parameters, self.options.blocks)

    def _run(self) -> None:
        try:
            catalog = self._load()
        except BaseException as error:  # noqa: BLE001 - the caller of start() gets it
            self._started.set_exception(error)
            return
        self._started.set_result(catalog)
        try:
            self._loop.run()
        except BaseException:
            logger.critical("the device loop has stopped", exc_info=True)
            self._queue.abandon(GenerationFailed("The device loop has stopped; the server must be restarted."))

    def _load(self) -> Catalog:
        threads = self.options.threads or usable_threads()
        # OpenMP keeps this number per thread, so it must be set in this one.
        torch.set_num_threads(threads)
        catalog = load_catalog(self._bundles, self._default_model)
        self.environment.update(environment(self.options, threads))
        self.metrics.prepare([bundle.name for bundle in catalog.loaded()], tuple(METHODS))
        for bundle in catalog.loaded():
            version, digest = bundle.manifest.version, bundle.digest[:12]
            self.metrics.model_info.labels(bundle.name, version, digest).set(1)
            started = perf_counter()
            probe = probe_bits(bundle, self.options)
            self.fingerprints[bundle.name] = fingerprint(self.environment, bundle, probe)
            logger.info(
                "model loaded", extra={"model": bundle.name, "warm_ms": round(1e3 * (perf_counter() - started))}
            )
        for model in catalog.models.values():
            if model.broken is not None:
                logger.error("model broken", extra={"model": model.name, "reason": model.broken})
        return catalog
