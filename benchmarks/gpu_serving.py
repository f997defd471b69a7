"""Part of ``gpu_check``: what the engine makes of a device; what latentRS costs on generators of the papers' sizes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cost import measure
from benchmarks.recorded import recorded
from benchmarks.serving.estimates import ratio_interval
from benchmarks.workloads import make_known, random_bundle, write_random_bundle
from models.bundle import load_bundle
from sampling.sampler import BlockSizes
from service.engine.decoding import decode
from service.engine.engine import Engine
from service.engine.onecall import Decode, as_it_is, seconds_of, traced
from service.engine.options import EngineOptions
from service.engine.rows import SampleRequest
from service.engine.sizing import rows_for
from service.engine.warmup import probe_latents
from service.metrics.registry import Metrics

# By device: large ones take minutes an answer on a CPU.
LARGE = {"cuda": ("progan-128", "stylegan2-256"), "cpu": ("random-128",)}
LARGE_ROWS = {"cuda": 64, "cpu": 2}
LOOPS = (1, 2)  # the second prepares its batch while the first one's runs
METHODS = ("prior", "latentrs")
BATCHES = 8  # of one request
SEED = 7
MOST_PAIRS, LEAST_PAIRS = 20, 3
CALLS_PART = 0.2  # of an engine's time, for the calls of its generator alone


def large_generators(device: torch.device, seconds: float) -> dict[str, dict[str, Any]]:
    """Time of latentRS over the bare generator's, by size; ``seconds`` for each."""
    return {
        name: measure(
            random_bundle(name, device), "latentrs", LARGE_ROWS[device.type], BlockSizes(), MOST_PAIRS,
            most_seconds=seconds,
        )
        for name in LARGE[device.type]
    }  # fmt: skip


def served(bundles: list[Path], device: torch.device, seconds: float) -> dict[str, dict[str, Any]]:
    """What ``engine`` says of each folder in ``bundles`` and of the first large generator; ``seconds`` for each."""
    make_known()
    with tempfile.TemporaryDirectory(prefix="winnow-gpu-check-") as scratch:
        folders = [*bundles, write_random_bundle(Path(scratch), LARGE[device.type][0])]
        found = {folder.name: engine(folder, device, seconds) for folder in folders}
        for folder in folders:  # last: a recording that fails may take the device with it
            found[folder.name]["calls"] = calls(folder, device, seconds * CALLS_PART)
        return found


def calls(folder: Path, device: torch.device, seconds: float) -> dict[str, dict[str, Any]]:
    """Of the engine's way to call the generator and, on CUDA, of a recording: the time of a batch over that of the
    generator operation by operation, and whether the bytes are the same; or why it cannot be had."""
    bundle = load_bundle(folder, device)
    probe = probe_latents(bundle, rows_for(bundle, None))
    plain = as_it_is(bundle, probe)
    makers: dict[str, Callable[[], Decode]] = {"traced": partial(traced, bundle, probe)}
    if device.type == "cuda":
        makers["recorded"] = partial(recorded, bundle, probe)
    found: dict[str, dict[str, Any]] = {}
    for name, make in makers.items():
        try:
            found[name] = beside(plain, make(), probe, seconds / len(makers))
        except Exception as error:  # noqa: BLE001 - the rest of the check is worth having without it
            found[name] = {"error": f"{type(error).__name__}: {error}"}
    return found


def beside(plain: Decode, other: Decode, latents: torch.Tensor, seconds: float) -> dict[str, Any]:
    same = all(np.array_equal(plain(rows), other(rows)) for rows in (latents, latents.flip(0)))
    ours: list[float] = []
    theirs: list[float] = []
    sides = [(ours, other), (theirs, plain)]
    until = time.monotonic() + seconds
    while len(ours) < LEAST_PAIRS or time.monotonic() < until:
        for times, way in sides:
            times.append(seconds_of(way, latents))
        sides.reverse()
    ratio = ratio_interval(ours, theirs)
    return {"same_bytes": same, "time_ratio": ratio.value, "low": ratio.low, "high": ratio.high, "pairs": ratio.pairs}


def engine(folder: Path, device: torch.device, seconds: float) -> dict[str, Any]:
    """Images a second through an engine over those of a bare decode loop, by method and loops on the device, in
    interleaved pairs; and whether seeded answers are the same whatever the number of loops."""
    found: dict[str, Any] = {}
    seeded: list[tuple[str, bytes]] = []
    for loops in LOOPS:
        threads = loops if device.type == "cpu" else 1  # one for each loop: the fingerprint names their number
        running = Engine(folder, None, EngineOptions(devices=(str(device),), loops=loops, threads=threads), Metrics())
        running.start()
        try:
            rows = running.served(None).batch_rows
            answer = running.submit(SampleRequest(rows + 1, method="prior", seed=SEED)).result()
            assert answer.rows is not None
            seeded.append((answer.fingerprint, answer.rows.tobytes() + answer.latents.tobytes()))
            for method in METHODS:
                share = seconds / len(LOOPS) / len(METHODS)
                found[f"{method}, {loops} loops"] = against_bare(running, folder, device, method, share)
        finally:
            running.close()
    return {"batch_rows": rows, "same_seed_same_bytes": len(set(seeded)) == 1, "throughput": found}


def against_bare(running: Engine, folder: Path, device: torch.device, method: str, seconds: float) -> dict[str, float]:
    """The ratio of images a second with its 97% interval, and the bare loop's own."""
    bundle, batch = load_bundle(folder, device), running.served(None).batch_rows
    latents = bundle.prior.sample(batch, torch.Generator().manual_seed(0)).to(device)

    def bare() -> float:
        started = time.perf_counter()
        for _ in range(BATCHES):
            decode(bundle, latents)
        return time.perf_counter() - started

    def ours() -> float:
        started = time.perf_counter()
        running.submit(SampleRequest(BATCHES * batch, method=method)).result()
        return time.perf_counter() - started

    bare(), ours()
    pairs: list[tuple[float, float]] = []
    until = time.monotonic() + seconds
    while len(pairs) < LEAST_PAIRS or (len(pairs) < MOST_PAIRS and time.monotonic() < until):
        pairs.append((bare(), ours()) if len(pairs) % 2 else (ours(), bare())[::-1])
    bares, served_in = zip(*pairs, strict=True)
    ratio = ratio_interval(bares, served_in)
    rate = float(np.median([BATCHES * batch / base for base in bares]))
    return {
        "ratio": ratio.value, "low": ratio.low, "high": ratio.high, "pairs": ratio.pairs,
        "bare_images_per_second": rate,
    }  # fmt: skip
