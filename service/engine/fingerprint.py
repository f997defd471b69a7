"""What bits depend on besides the request: same fingerprint + same request = same bytes."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from models.bundle import Bundle

CODE_ROOT = Path(__file__).parents[2]
# From the random numbers to the decoded row; what encodes it afterwards has its versions in the ETag.
CODE_PACKAGES = ("models", "sampling", "service/engine")


def environment(threads: int) -> dict[str, str | int]:
    """The facts that decide a bit whatever the bundle, by name; ``/info`` shows them."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "threads": threads,
        "code": code_digest()[:16],
    }


def fingerprint(facts: Mapping[str, object], bundle: Bundle, probe: str) -> str:
    """16 hex digits of ``facts`` (environment, shapes), the bundle's digest and the bits that a probe really gave."""
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
