"""Small real data files for the readers' tests."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 6
ROWS = {"train": 5, "t10k": 3}


def grey_images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE), dtype=np.uint8)


def colour_images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    """``array`` in the IDX format: magic with type and rank, big-endian sizes, values."""
    return bytes([0, 0, 0x08, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx_folder(folder: Path, compress: bool = True) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The four files of MNIST's layout; returns (images, labels) by file stem."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for seed, (stem, rows) in enumerate(ROWS.items()):
        images, labels = grey_images(rows, seed), np.arange(rows, dtype=np.uint8)
        for name, array in ((f"{stem}-images-idx3-ubyte", images), (f"{stem}-labels-idx1-ubyte", labels)):
            if compress:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
            else:
                (folder / name).write_bytes(idx_bytes(array))
        written[stem] = (images, labels)
    return written


def write_images(folder: Path, images: np.ndarray, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:03d}{suffix}")
