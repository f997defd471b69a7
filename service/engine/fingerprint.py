"""What bits depend on besides the request: same fingerprint + same request = same bytes."""

from __future__ import annotations

import hashlib
import json
import platform

import numpy as np
import torch

from models.bundle import Bundle
from service.engine.options import EngineOptions

# Raise it when the law of the stream or the shape of the work changes.
STREAM_LAW = "block-1"


def environment(options: EngineOptions, threads: int) -> dict[str, str | int]:
    """The facts that decide a bit, by name; ``/info`` shows them."""
    return {
        "law": STREAM_LAW,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "threads": threads,
        "batch_rows": options.batch_rows,
        "proposal_block": options.proposal_block,
    }


def fingerprint(facts: dict[str, str | int], bundle: Bundle) -> str:
    """16 hex digits of the environment and the bundle's digest."""
    text = json.dumps({**facts, "bundle": bundle.digest}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
