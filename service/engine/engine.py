"""The engine: bundles in, futures of samples out. It knows no HTTP; only its own thread touches torch."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from pathlib import Path
from time import perf_counter

import torch

from sampling.methods import METHODS
from sampling.streams import MAX_SEED
from service.engine.accounts import Accounts
from service.engine.catalog import Catalog, Model, load_catalog
from service.engine.errors import GenerationFailed
from service.engine.fingerprint import environment, fingerprint, probe_bits
from service.engine.jobs import Job, SampleRequest, Samples
from service.engine.loop import DeviceLoop
from service.engine.methods import resolve_method
from service.engine.options import EngineOptions
from service.engine.queue import JobQueue
from service.engine.threads import usable_threads
from service.engine.turns import Turn
from service.metrics.registry import Metrics

logger = logging.getLogger("winnow.engine")
# No honest batch takes this long; a longer one means that the device is gone.
WEDGED_SECONDS = 60.0


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
        self._loop = DeviceLoop(self._queue, Turn(options, accounts, {}), accounts, self.fingerprints)
        self._started: Future[Catalog] = Future()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="winnow-device", daemon=True)

    def start(self) -> Catalog:
        """Load and warm up every bundle. Raises CatalogError when there is nothing to serve."""
        self._thread.start()
        self.catalog = self._started.result()
        self.metrics.ready.set(1)
        return self.catalog

    def resolve(self, model: str | None, method: str | None) -> tuple[Model, str]:
        """The model and method that a request means. Raises UnknownModel, BrokenModel, UnknownMethod, ..."""
        found = self.catalog.find(model)
        assert found.bundle is not None
        return found, resolve_method(found.bundle, method)

    def submit(self, request: SampleRequest) -> Future[Samples]:
        """Admit a request now or refuse it now. Cancel the future to stop the work at the next batch.

        Raises EngineError (unknown names, Overloaded, Draining), ValueError for n or seed out of range.
        The future raises Stalled or GenerationFailed.
        """
        if request.n < 1:
            raise ValueError(f"n must be at least 1, not {request.n}")
        if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
            raise ValueError(f"the seed must lie in [0, {MAX_SEED}], not {request.seed}")
        model, method = self.resolve(request.model, request.method)
        job = Job(request, model, method, perf_counter())
        self._queue.submit(job)
        return job.future

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
