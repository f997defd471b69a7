"""A feature extractor that the user's machine provides: an exported network, for images that Winnow has none for."""

from __future__ import annotations

import hashlib
import logging
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training.data.dataset import Dataset
from training.errors import TrainingRefused

PROBED = (3, 2)
"""Rows of the two probes: an export whose batch size is fixed fails one of them."""
EXPORTED = "archive_format"  # a member that torch.export.save writes and TorchScript does not
HOW = "export it with torch.export and a dynamic batch size, or as TorchScript"


class Extractor(nn.Module):
    """Images float32 [n, c, h, w] in [-1, 1] -> features [n, f]; resizing and normalisation are the network's own."""

    digest: torch.Tensor

    def __init__(self, network: nn.Module, path: Path) -> None:
        super().__init__()
        self.network, self.path = network, path
        sha = hashlib.sha256(path.read_bytes())  # its buffer tells pools apart
        self.sha256 = sha.hexdigest()
        self.register_buffer("digest", torch.frombuffer(bytearray(sha.digest()), dtype=torch.uint8))

    @property
    def name(self) -> str:
        """What reports call its space: the file, and which one of that name."""
        return f"{self.path.name} {self.sha256[:12]}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: object = self.network(x)
        if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != len(x):
            got = list(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            raise TrainingRefused(f"{self.path}: {len(x)} images gave {got}, features must be [{len(x)}, f]")
        if not torch.isfinite(features).all():
            raise TrainingRefused(f"{self.path}: features hold NaN or infinity; check the network and its input range")
        return features.float()


@dataclass(frozen=True)
class ExtractorFiles:
    """``features``, which training reads, and ``independent``, which only judges: each in its own network's place."""

    features: Path | None = None
    independent: Path | None = None

    def load(self, data: Dataset, device: torch.device) -> tuple[Extractor | None, Extractor | None]:
        """Both, tried on rows of ``data``. Raises TrainingRefused."""
        options = {"--features": self.features, "--independent-features": self.independent}
        first, second = (path and load_extractor(path, data, device, option) for option, path in options.items())
        return first or None, second or None


NO_FILES = ExtractorFiles()


def load_extractor(path: Path, data: Dataset, device: torch.device, option: str = "--features") -> Extractor:
    """The network in ``path`` (torch.export or TorchScript), tried on rows of ``data``. Raises TrainingRefused."""
    if not path.is_file():
        raise TrainingRefused(f"{option} {path}: no such file; {HOW}")
    try:
        extractor = Extractor(_load(path), path).to(device)
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise TrainingRefused(f"{option} {path} is no exported network; {HOW}") from error
    for rows in PROBED:
        probe = data.batch(torch.arange(min(rows, len(data)))).to(device)
        try:
            with torch.no_grad():
                extractor(probe)
        except TrainingRefused:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            shape = list(probe.shape)
            raise TrainingRefused(f"{option} {path} does not take images {shape} ({reason}); {HOW}") from error
    return extractor


def _load(path: Path) -> nn.Module:
    with zipfile.ZipFile(path) as archive:
        exported = any(name.endswith(f"/{EXPORTED}") for name in archive.namelist())
    logging.getLogger("torch.export").setLevel(logging.CRITICAL)  # a broken file is told in our own sentence
    if exported:
        module: nn.Module = torch.export.load(path).module()
        return module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript: old, and what extractors are often shared as
        return torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-any-return]
