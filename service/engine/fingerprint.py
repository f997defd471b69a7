"""What bits depend on besides the request: same fingerprint + same request = same bytes."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import numpy as np
import torch

from models.bundle import Bundle
from sampling.methods import bind
from service.engine.decoding import decode
from service.engine.methods import available_methods
from service.engine.options import EngineOptions
from service.engine.supply import Supply

PROBE_SEED = 0
PROBED = ("prior", "latentrs")
CODE_ROOT = Path(__file__).parents[2]
# From the random numbers to the decoded row; what encodes it afterwards has its versions in the ETag.
CODE_PACKAGES = ("models", "sampling", "service/engine")


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
        "code": code_digest()[:16],
    }


def fingerprint(facts: dict[str, str | int], bundle: Bundle, probe: str) -> str:
    """16 hex digits of the environment, the bundle's digest and the bits that a probe really gave."""
    text = json.dumps({**facts, "bundle": bundle.digest, "probe": probe}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_digest(root: Path = CODE_ROOT, packages: tuple[str, ...] = CODE_PACKAGES) -> str:
    """Digest of the source files that decide a bit, by their paths below ``root``."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            name, text = path.relative_to(root).as_posix().encode(), path.read_bytes()
            digest.update(b"%d:%b%d:%b" % (len(name), name, len(text), text))
    return digest.hexdigest()


def probe_bits(bundle: Bundle, options: EngineOptions) -> str:
    """Digest of the first canonical work of a fixed seed: a block of ``PROBED``, one decoded batch.

    It measures what this machine and these libraries make of the same code, and it is the warm-up: the first call
    of a shape pays for kernels and memory, no request should. Only methods whose block is one call of w are run,
    a few milliseconds each; one that decodes or climbs takes up to seconds for a block, which every start would
    pay for every bundle. That a change of any method changes the fingerprint is the ``code_digest``'s part: a
    version number of the streams' laws would have to be raised by hand, and a forgotten one lets an old ETag
    stand for new bytes; the source cannot be forgotten, and a needless change costs caches one refill.
    """
    digest = hashlib.sha256()
    for method in PROBED:
        if method not in available_methods(bundle):
            continue
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
