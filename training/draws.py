"""What a method drew for a table: samples and cost, kept on disk so that a stopped run costs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.bundle import Bundle
from sampling.draw import Cost
from sampling.methods import METHODS, bind
from sampling.sampler import draw
from sampling.streams import BlockStream
from training.data.dataset import Dataset
from training.evaluation.blocks import Space, rows_of
from training.evaluation.compare import BLOCKS, Table, compare
from training.evaluation.drawing import SIZES, decode, stream_seed


@dataclass(frozen=True)
class Drawn:
    """``samples`` as a user gets them (uint8 images or points) and what they cost."""

    samples: torch.Tensor
    cost: Cost


def label(method: str, settings: dict[str, Any]) -> str:
    """A method with its settings, as the tables call it."""
    return method + "".join(f" {key}={value}" for key, value in settings.items())


def make(bundle: Bundle, method: str, settings: dict[str, Any], n: int, seed: int, device: torch.device) -> Drawn:
    """``n`` samples of the method's own stream of ``seed``: rows of a table share no latents."""
    sampler = bind(bundle, method, METHODS[method].parameters(**settings), SIZES)
    stream = stream_seed(seed, list(METHODS).index(method))
    drawn = draw(method, sampler.propose, n, BlockStream(stream, sampler.block, device))
    return Drawn(decode(bundle, drawn), drawn.cost)


def fingerprint(settings: Any) -> str:
    """Short hash of a dataclass of settings: what was kept under it was made with these very ones."""
    return sha256(json.dumps(asdict(settings), sort_keys=True).encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Shelf:
    """Draws and results by name in ``folder``, which belongs to one bundle, count and seed; None keeps nothing."""

    folder: Path | None

    def drawn(self, name: str) -> Drawn | None:
        """What was kept under ``name``; None also for a file that a stopped run left unreadable."""
        path = self._path(name, "safetensors")
        if path is None or not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                return Drawn(file.get_tensor("samples"), Cost(**json.loads(file.metadata()["cost"])))
        except (SafetensorError, KeyError, TypeError, ValueError):
            return None

    def keep_drawn(self, name: str, drawn: Drawn) -> None:
        if path := self._path(name, "safetensors"):
            save_file({"samples": drawn.samples.contiguous()}, path, {"cost": json.dumps(asdict(drawn.cost))})

    def result(self, name: str) -> dict[str, Any] | None:
        path = self._path(name, "json")
        try:
            return None if path is None else dict(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def keep_result(self, name: str, result: dict[str, Any]) -> None:
        if path := self._path(name, "json"):
            path.write_text(json.dumps(result) + "\n")

    def _path(self, name: str, kind: str) -> Path | None:
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{name.replace(' ', ',')}.{kind}"


def shelf_of(keep: Path | None, bundle: Bundle, n: int, seed: int) -> Shelf:
    """The shelf of ``n`` samples a method of ``seed`` of ``bundle`` below ``keep``."""
    return Shelf(keep / f"{bundle.name}-{bundle.digest[:12]}-{n}-{seed}-own-streams" if keep else None)


def kept_table(
    shelf: Shelf,
    space: Space,
    real: torch.Tensor,
    sets: Mapping[str, torch.Tensor],
    device: torch.device,
    blocks: int = BLOCKS,
    title: str = "quality of",
) -> Table:
    """Every set of samples against ``real`` (as many rows, a whole number of ``blocks``), metrics kept.

    They are found again by the samples of both sides, not by a name under which others may have been drawn since.
    ``title`` tells results of one shelf apart that were measured in another space.
    """
    reference, against = rows_of(space, real, device), Dataset("real", real).digest
    values = {}
    for name, samples in sets.items():
        rows = samples[: len(real)]
        key = f"{title} {name} {Dataset(name, rows).digest} against {against} in {blocks} blocks"
        kept = shelf.result(key)
        if kept is None:
            kept = compare(reference, rows_of(space, rows, device), {}, blocks).values["floor"]
            shelf.keep_result(key, kept)
        values[name] = kept
    return Table(values, len(real) // blocks)
