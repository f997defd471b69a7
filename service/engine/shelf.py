"""The models that are served: loaded, warmed up, replaced and taken away while everything goes on.

Files are read and checked in the caller's thread; networks run on requests' account only in the device's, so the
warm-up is done there, between two batches. Requests keep the bundle that they were admitted with.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import perf_counter

import torch

from sampling.methods import METHODS
from service.engine.catalog import Catalog, Model, check_default, check_whole, load_catalog, load_model
from service.engine.decoding import is_out_of_memory
from service.engine.errors import UnknownModel, first_line
from service.engine.fingerprint import environment
from service.engine.options import EngineOptions
from service.engine.queue import JobQueue
from service.engine.served import Served
from service.engine.warmup import fits, warm_up
from service.metrics.registry import Metrics

logger = logging.getLogger("winnow.engine")
# Of a folder's name, on any file system of ours; to ask for a longer one is an error of the system, not "no".
MAX_NAME_BYTES = 255
# After so long what was made smaller for lack of memory is tried at its full size again, and after twice as long each
# further time. Seeded bytes change with it: where memory comes and goes they must not every minute.
REGAIN_SECONDS = 600


@dataclass(frozen=True)
class FullSize:
    """``served`` as it was; to be tried once ``rests`` times REGAIN_SECONDS have passed ``since`` (perf_counter)."""

    served: Served
    since: float = inf
    rests: int = 1

    @property
    def due(self) -> bool:
        return perf_counter() - self.since >= REGAIN_SECONDS * self.rests


class Shelf:
    """``catalog`` is replaced as a whole; ``forget`` is told, on the device thread, what is not served any more."""

    def __init__(
        self, root: Path, default: str | None, options: EngineOptions, metrics: Metrics, queue: JobQueue,
        forget: Callable[[Served], None], devices: Sequence[torch.device],
    ) -> None:  # fmt: skip
        self.catalog = Catalog({}, "")
        self.environment: dict[str, str | int] = {}
        self._root, self._default, self._options, self._metrics = root, default, options, metrics
        self._queue, self._forget, self._devices = queue, forget, devices
        # What a device had before its memory ran short, by model.
        self._full: dict[str, FullSize] = {}
        # Of a load from file to service; and of the catalog, which a device without memory changes meanwhile.
        self._changing, self._catalog_changes = threading.Lock(), threading.Lock()

    def fill(self, threads: int) -> None:
        """Everything under the root, on the device thread. Raises CatalogError when there is nothing to serve."""
        self.environment.update(environment(threads))
        catalog = load_catalog(self._root, self._default, self._devices, self._options.allow_rejected_weights)
        self._metrics.prepare([bundle.name for bundle in catalog.loaded()], tuple(METHODS))
        for model in map(self._warm, catalog.models.values()):
            if model.broken is not None:
                logger.error("model broken", extra={"model": model.name, "reason": model.broken})
            catalog = catalog.with_model(model)
        check_default(catalog)
        self._show(catalog)

    def load(self, name: str) -> Model:
        """Load the folder ``name`` under the root, anew if it is served already. What is broken replaces nothing.

        Raises UnknownModel, BrokenModel.
        """
        with self._changing:
            folder = self._root / name
            if not _is_folder_name(name) or not folder.is_dir():
                raise UnknownModel(f"There is no folder {name!r} under the bundles that this server was started with.")
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # of this thread: the device keeps its own
            try:
                model = load_model(folder, self._devices, self._options.allow_rejected_weights)
            finally:
                torch.set_num_threads(threads)
            check_whole(model)
            return self._queue.chore(lambda: self._put(model)).result()

    def unload(self, name: str) -> None:
        """Serve ``name`` no longer; requests that were admitted are finished. Raises UnknownModel, ModelInUse."""
        with self._changing:
            self._queue.chore(lambda: self._take_away(name)).result()

    def shrink(self, served: Served, rows: int) -> bool:
        """On a device thread: from now on ``served`` has batches of at most ``rows``. False where none fits."""
        with self._catalog_changes:
            if not self._is_current(served):
                return True  # it has left, or shrunk, already
            options = replace(self._options, proposal_block=served.proposal_block)
            while rows:
                try:
                    warm = warm_up(served.bundles, replace(options, batch_rows=rows), self.environment)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    rows //= 2
                else:
                    self._make_do(served, warm)
                    return True
            return False

    def shorten(self, served: Served) -> None:
        """On a device thread: from now on ``served`` has blocks of half as many proposals, unless it has already.

        No warm-up: no bits of a seed depend on it.
        """
        with self._catalog_changes:
            if self._is_current(served):
                self._make_do(served, replace(served, proposal_block=max(1, served.proposal_block // 2)))

    def regain(self) -> None:
        """On a device thread: what makes do with less has its full size again where that fits by now."""
        if not any(full.due for full in list(self._full.values())):
            return
        if not self._catalog_changes.acquire(blocking=False):
            return  # another device tries, or changes something: after its next turn, then
        try:
            for name, full in list(self._full.items()):
                if full.due:
                    self._try_full(name, full)
        finally:
            self._catalog_changes.release()

    def _try_full(self, name: str, full: FullSize) -> None:
        again = fits(full.served)
        rows = full.served.batch_rows
        logger.info("full size again" if again else "no full size yet", extra={"model": name, "batch_rows": rows})
        # Kept where it fits, too: should it fail again it must rest for longer.
        self._full[name] = FullSize(full.served, inf if again else perf_counter(), 2 * full.rests)
        if again:
            self._exchange(full.served)

    def _is_current(self, served: Served) -> bool:
        model = self.catalog.models.get(served.bundle.name)
        return model is not None and model.served is served

    def _make_do(self, served: Served, smaller: Served) -> None:
        name = served.bundle.name
        self._full[name] = replace(self._full.get(name) or FullSize(served), since=perf_counter())
        self._exchange(smaller)

    def _exchange(self, served: Served) -> None:
        """It serves its bundle from now on, in another size than before."""
        name = served.bundle.name
        self._replace(self.catalog.with_model(replace(self.catalog.models[name], served=served)), name)

    def _put(self, model: Model) -> Model:
        warm = self._warm(model)
        check_whole(warm)
        self._metrics.prepare([model.name], tuple(METHODS))
        with self._catalog_changes:
            self._full.pop(model.name, None)
            self._replace(self.catalog.with_model(warm), model.name)
        return warm

    def _take_away(self, name: str) -> None:
        with self._catalog_changes:
            self._replace(self.catalog.without(name), name)
            self._full.pop(name, None)

    def _replace(self, catalog: Catalog, name: str) -> None:
        before = self.catalog.models.get(name)
        self._show(catalog)
        if before is not None and before.served is not None:
            self._forget(before.served)

    def _show(self, catalog: Catalog) -> None:
        """From now on ``catalog`` is served; the metrics say so."""
        self.catalog, metrics = catalog, self._metrics
        broken = sum(model.broken is not None for model in catalog.models.values())
        metrics.models.labels("broken").set(broken)
        metrics.models.labels("ready").set(len(catalog.models) - broken)
        metrics.model_info.clear()
        metrics.fingerprint_info.clear()
        for served in (model.served for model in catalog.models.values()):
            if served is not None:
                manifest = served.bundle.manifest
                metrics.model_info.labels(manifest.name, manifest.version, served.bundle.digest[:12]).set(1)
                metrics.fingerprint_info.labels(manifest.name, served.fingerprint).set(1)
                metrics.batch_rows_limit.labels(manifest.name).set(served.batch_rows)

    def _warm(self, model: Model) -> Model:
        """``model`` with what serves it; broken where its networks raise on a batch."""
        if not model.bundles:
            return model
        started = perf_counter()
        try:
            served = warm_up(model.bundles, self._options, self.environment)
        except Exception as error:  # noqa: BLE001 - whatever a network raises is its own bundle's loss
            return replace(model, bundles=(), broken=f"{model.folder}: its warm-up fails ({first_line(error)}).")
        facts = {"warm_ms": round(1e3 * (perf_counter() - started)), "batch_rows": served.batch_rows}
        logger.info("model loaded", extra={"model": model.name, **facts, "rows_mix": served.mixes})
        for role, reason in model.bundles[0].withheld.items():
            logger.warning("network withheld", extra={"model": model.name, "network": role, "reason": reason})
        return replace(model, served=served)


def _is_folder_name(name: str) -> bool:
    """Not a path: nothing outside the root is read."""
    fits = len(name.encode(errors="replace")) <= MAX_NAME_BYTES
    return bool(name) and Path(name).name == name and name != ".." and fits
