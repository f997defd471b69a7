"""What training and metrics call a data set: samples in memory, labels where there are any."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch


class DataError(ValueError):
    """Data that cannot be used; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Dataset:
    """Images uint8 [n, channels, height, width] or points float32 [n, dim]; labels int64 [n] or None."""

    name: str
    samples: torch.Tensor
    labels: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.samples.ndim not in (2, 4):
            raise DataError(f"{self.name}: samples must be [n, dim] or [n, c, h, w], not {list(self.samples.shape)}")
        if len(self.samples) < 2:
            raise DataError(f"{self.name}: {len(self.samples)} sample(s); at least 2 are needed")
        if self.samples.is_floating_point() and not torch.isfinite(self.samples).all():
            raise DataError(f"{self.name}: the data holds NaN or infinite values; remove them first")
        if self.samples.numel() == 0:
            raise DataError(f"{self.name}: samples of shape {list(self.samples.shape[1:])} hold no values")
        if self.labels is not None and self.labels.shape != (len(self.samples),):
            raise DataError(f"{self.name}: {len(self.samples)} samples but labels {list(self.labels.shape)}")

    @cached_property
    def digest(self) -> str:
        """Short hash of the samples: two sets may have one name."""
        return hashlib.sha256(self.samples.contiguous().numpy().tobytes()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def is_points(self) -> bool:
        return self.samples.ndim == 2

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """Rows at ``index`` as the networks see them: points as they are, images float32 in [-1, 1]."""
        return as_network_input(self.samples[index])

    def subset(self, index: torch.Tensor) -> Dataset:
        labels = None if self.labels is None else self.labels[index]
        return Dataset(self.name, self.samples[index], labels)


def as_network_input(samples: torch.Tensor) -> torch.Tensor:
    """uint8 images [n, c, h, w] -> float32 in [-1, 1]; points pass through."""
    if samples.dtype == torch.uint8:
        return samples.float().div_(127.5).sub_(1.0)
    return samples


def image_dataset(name: str, images: np.ndarray, labels: np.ndarray | None) -> Dataset:
    """Images uint8 [n, h, w] or [n, h, w, c] (as files hold them) -> ``Dataset``."""
    if images.dtype != np.uint8:
        raise DataError(f"{name}: images must be uint8 with values 0-255, not {images.dtype}")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise DataError(f"{name}: images must be [n, h, w] or [n, h, w, 1 or 3], not {list(images.shape)}")
    tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    return Dataset(name, tensor, as_labels(name, labels))


def as_labels(name: str, labels: np.ndarray | None) -> torch.Tensor | None:
    """Integer labels from 0 on, as files hold them -> int64. Raises DataError."""
    if labels is None:
        return None
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name}: labels must be integers, not {labels.dtype}; number the classes 0, 1, 2, ...")
    if labels.size and labels.min() < 0:
        raise DataError(f"{name}: the label {labels.min()} is negative; number the classes 0, 1, 2, ...")
    return torch.from_numpy(labels.astype(np.int64))
