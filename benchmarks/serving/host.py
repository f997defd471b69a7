"""``winnow`` that also knows the generators of ``benchmarks.workloads``, which no shipped bundle uses.

python -m benchmarks.serving.host serve --bundles FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.workloads import Convolutions, random_bundle
from models.bundle import save_bundle
from models.registry import ARCHITECTURES
from winnow.cli import main

# At import, not under __main__: a process that this one spawns imports this module again and knows it too.
ARCHITECTURES["convolutions"] = Convolutions


def write_random_bundle(root: Path, name: str = "random-128") -> Path:
    """A bundle with random weights, below ``root``; its folder."""
    bundle = random_bundle(name)
    save_bundle(root / name, bundle.manifest, bundle.networks)
    return root / name


if __name__ == "__main__":
    sys.exit(main())
