"""Readers of data files: IDX (MNIST's own format), .npz archives, folders of images."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from math import prod
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training.data.dataset import DataError, Dataset, as_labels, image_dataset
from training.data.splits import sixth

IDX_UINT8 = 0x08
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
IDX_STEMS = {"train": "train", "test": "t10k"}
NPZ_KINDS = ("images", "points")
# What zipfile, zlib and numpy raise for damaged archives (RuntimeError: "encrypted", "compression not supported").
NPZ_ERRORS = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
IMAGE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # Pillow's, by plug-in


def read_idx(path: Path) -> np.ndarray:
    """One IDX file of unsigned bytes, plain or gzip -> uint8 array of the shape its header states."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get it again") from error
    if len(raw) < 4 or raw[0] != 0 or raw[1] != 0:
        raise DataError(f"{path}: not an IDX file (it must start with two zero bytes)")
    if raw[2] != IDX_UINT8:
        raise DataError(f"{path}: IDX type 0x{raw[2]:02x}; only unsigned bytes (0x08) are supported")
    dims = raw[3]
    header = 4 + 4 * dims
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", count=dims, offset=4)) if len(raw) >= header else ()
    if not shape or len(raw) - header != prod(shape):
        raise DataError(f"{path}: the file is truncated or its header {list(shape)} is wrong; get it again")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def idx_folder(folder: Path, name: str, split: str) -> Dataset:
    """A folder in MNIST's layout ({train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz])."""
    stem = IDX_STEMS[split]
    images = read_idx(_plain_or_gz(folder, f"{stem}-images-idx3-ubyte"))
    labels = read_idx(_plain_or_gz(folder, f"{stem}-labels-idx1-ubyte"))
    return image_dataset(name, images, labels)


def is_idx_folder(folder: Path) -> bool:
    return any(folder.glob("*-images-idx3-ubyte*"))


def npz_file(path: Path, split: str) -> Dataset:
    """An archive with ``{split}_images`` or ``{split}_points`` (and ``{split}_labels``), else one without splits.

    Without splits it holds ``images`` or ``points`` (and ``labels``), of which a fixed random sixth is the test
    split (``training.data.splits``). An archive that has one split only holds no rows for the other one. DataError.
    """
    arrays = _read_npz(path)
    if not any(f"{part}_{kind}" in arrays for part in IDX_STEMS for kind in NPZ_KINDS):
        return sixth(_npz_arrays(path, arrays, ""), split)
    if stray := sorted({*NPZ_KINDS, "labels"} & set(arrays)):
        raise DataError(f"{path}: {stray[0]} beside arrays of a split; name it train_{stray[0]} or test_{stray[0]}")
    return _npz_arrays(path, arrays, f"{split}_")


def _npz_arrays(path: Path, arrays: dict[str, np.ndarray], prefix: str) -> Dataset:
    labels = arrays.get(f"{prefix}labels")
    if (images := arrays.get(f"{prefix}images")) is not None:
        return image_dataset(path.stem, images, labels)
    if (points := arrays.get(f"{prefix}points")) is not None:
        return points_dataset(path.stem, points, labels)
    wanted = " or ".join(f"{prefix}{kind}" for kind in NPZ_KINDS)
    also = "" if prefix else ", nor train_images and test_images (or _points)"
    raise DataError(f"{path}: holds {sorted(arrays)}, but no {wanted}{also}; add the missing array")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here: numpy leaves its own handle open when the archive is damaged.
        with path.open("rb") as handle:
            archive = np.load(handle, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single .npy array; save it with np.savez under a name")
            arrays = {key: archive[key] for key in archive.files}
    except NPZ_ERRORS as error:
        raise DataError(f"{path}: not a readable .npz archive ({error})") from error
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DataError(f"{path}: {key} is not a numpy array; make the archive with np.savez")
    return arrays


def points_dataset(name: str, points: np.ndarray, labels: np.ndarray | None) -> Dataset:
    """Numeric points [n, dim] -> ``Dataset``."""
    if points.dtype.kind not in "fiu" or points.ndim != 2:
        raise DataError(f"{name}: points must be numbers [n, dim], not {points.dtype} {list(points.shape)}")
    return Dataset(
        name,
        torch.from_numpy(points.astype(np.float32)),
        as_labels(name, labels),
    )


def image_folder(folder: Path, classes: tuple[str, ...] = ()) -> Dataset:
    """Every image below ``folder``, all of one size; grey stays grey; sub-folders become labels.

    ``classes``: the sub-folders by label, where another split may have more of them; what is there without it.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if len(paths) < 2:
        raise DataError(f"{folder}: found {len(paths)} image(s) ({', '.join(IMAGE_SUFFIXES)}); at least 2 are needed")
    images = [_read_image(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            ours, first = _describe(image), _describe(images[0])
            raise DataError(f"{path}: {ours}, but {paths[0].name} is {first}; bring all images to one size and mode")
    names = classes or class_folders(folder)
    labels = np.array([names.index(_class_of(p, folder)) for p in paths]) if len(names) > 1 else None
    return image_dataset(folder.name, np.stack(images), labels)


def class_folders(folder: Path) -> tuple[str, ...]:
    """The sub-folders that hold images, sorted, relative to ``folder``."""
    return tuple(sorted({_class_of(p, folder) for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES}))


def _class_of(path: Path, folder: Path) -> str:
    return path.parent.relative_to(folder).as_posix()


def _read_image(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image if image.mode == "L" else image.convert("RGB"))
    except IMAGE_ERRORS as error:
        raise DataError(f"{path}: not a readable image ({error})") from error


def _describe(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]} {'grey' if image.ndim == 2 else 'colour'}"


def _plain_or_gz(folder: Path, name: str) -> Path:
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.is_file():
            return candidate
    raise DataError(f"{folder}: {name}.gz is missing; the folder needs the four IDX files of MNIST's layout")
