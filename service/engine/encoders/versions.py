"""What the bytes of an encoded row depend on besides the row."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version

import numpy as np

from service.engine.encoders.pictures import write_jpeg, write_webp
from service.engine.encoders.png import write_png

LIBRARIES = ("isal", "numpy", "orjson", "pillow", "safetensors", "simplejpeg")
PROBE_SIDE = 64


@cache
def encoder_facts() -> dict[str, str]:
    """Versions of the libraries, and a digest of what they really make of one picture.

    The digest, because ISA-L chooses its code by the processor, and another one may write other bytes for the same
    pixels. Once a process.
    """
    ramp = np.arange(PROBE_SIDE**2 * 3, dtype=np.uint32)
    probe = (ramp * ramp // 977 % 251).astype(np.uint8).reshape(PROBE_SIDE, PROBE_SIDE, 3)
    bits = b"".join(write(probe) for write in (write_png, write_jpeg, write_webp))
    return {**{name: version(name) for name in LIBRARIES}, "probe": hashlib.sha256(bits).hexdigest()[:16]}
