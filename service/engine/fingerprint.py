"""What bits depend on besides the request: same fingerprint + same request = same bytes."""

from __future__ import annotations

import hashlib
import json
import platform

import numpy as np
import torch

from models.bundle import Bundle
from sampling.methods import bind
from service.engine.decoding import decode
from service.engine.methods import available_methods
from service.engine.options import EngineOptions
from service.engine.supply import Supply

PROBE_SEED = 0


def environment(options: EngineOptions, threads: int) -> dict[str, str | int]:
    """The facts that decide a bit, by name; ``/info`` shows them."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "threads": threads,
        "batch_rows": options.batch_rows,
        "proposal_block": options.proposal_block,
    }


def fingerprint(facts: dict[str, str | int], bundle: Bundle, probe: str) -> str:
    """16 hex digits of the environment, the bundle's digest and the bits that a probe really gave."""
    text = json.dumps({**facts, "bundle": bundle.digest, "probe": probe}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def probe_bits(bundle: Bundle, options: EngineOptions) -> str:
    """Digest of the first canonical work of a fixed seed: a block of every method, one decoded batch.

    A version number of the stream's law would have to be raised by hand whenever sampling changes, and a
    forgotten one lets an old ETag stand for new bytes. What is measured cannot be forgotten. It also is the
    warm-up: the first call of a shape pays for kernels and memory, no request should.
    """
    digest = hashlib.sha256()
    for method in available_methods(bundle):
        supply = Supply(bundle, bind(bundle, method, sizes=options.blocks), PROBE_SEED)
        supply.propose()
        if not supply.ready:
            continue
        take = supply.take(supply.ready)
        digest.update(take.latents.numpy().tobytes())
        if take.weights is not None:
            digest.update(take.weights.numpy().tobytes())
        if method == "prior":
            batch = take.latents.repeat(-(-options.batch_rows // len(take.latents)), 1)[: options.batch_rows]
            digest.update(decode(bundle, batch).tobytes())
    return digest.hexdigest()
