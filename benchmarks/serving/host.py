"""``winnow`` that also knows the generator of ``benchmarks.workloads``, which no shipped bundle uses.

python -m benchmarks.serving.host serve --bundles FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.workloads import CAP, HIDDEN, LATENT_DIM, Convolutions128, random_bundle
from models.bundle import save_bundle
from models.registry import ARCHITECTURES
from winnow.cli import main

# At import, not under __main__: a process that this one spawns imports this module again and knows it too.
ARCHITECTURES["convolutions-128"] = Convolutions128


def write_random_bundle(root: Path) -> Path:
    """The 128x128x3 bundle with random weights, below ``root``; its folder."""
    bundle = random_bundle()
    manifest = bundle.manifest
    config = {"latent_dim": LATENT_DIM, "hidden": list(HIDDEN), "cap": CAP}
    importance = manifest.networks["importance"].model_copy(update={"config": config})
    networks = {**manifest.networks, "importance": importance}
    folder = root / manifest.name
    save_bundle(folder, manifest.model_copy(update={"networks": networks}), bundle.networks)
    return folder


if __name__ == "__main__":
    sys.exit(main())
