"""Which devices networks run on, and what they are."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from service.engine.errors import DeviceUnavailable

AUTO = "auto"


def places_of(devices: Sequence[torch.device], loops: int) -> tuple[torch.device, ...]:
    """The device of each loop, ``loops`` of them a device; the first loops of all devices come first."""
    return tuple(devices) * loops


def choose_devices(names: Sequence[str]) -> tuple[torch.device, ...]:
    """The devices that ``names`` mean; ``auto`` alone: every CUDA device, or the CPU where there is none.

    One that is named twice counts as two. Raises DeviceUnavailable.
    """
    if tuple(names) == (AUTO,):
        found = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        return tuple(map(torch.device, found or ["cpu"]))
    if not names:
        raise DeviceUnavailable("no device is named: write cpu, cuda:0 or cuda:0,cuda:1, or auto")
    return tuple(map(_checked, names))


def _checked(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise DeviceUnavailable(f"{name!r} is no device; write cpu, cuda:0 or cuda:0,cuda:1, or auto")
    if device.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceUnavailable(f"{name} is not there: torch sees no CUDA device; use cpu, or auto")
    number = 0 if device.index is None else device.index
    if number >= (there := torch.cuda.device_count()):
        raise DeviceUnavailable(f"{name} is not there: torch sees {there} CUDA devices, from cuda:0 on")
    return torch.device("cuda", number)


def device_facts(device: torch.device) -> dict[str, str | int | None]:
    """What bits depend on besides the libraries: the kind of device, not which of several."""
    if device.type == "cpu":
        return {"device": "cpu"}
    major, minor = torch.cuda.get_device_capability(device)
    return {
        "device": torch.cuda.get_device_name(device),
        "capability": f"{major}.{minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def keep_bits(devices: Sequence[torch.device]) -> None:
    """Have the same call give the same bits on CUDA: no kernel is chosen by a race, none adds in random order.

    Before the first multiplication there, when cuBLAS reads its variable: with several streams its results repeat only
    if each has memory of its own (NVIDIA's manual of cuBLAS, "Results reproducibility").
    """
    if any(device.type == "cuda" for device in devices):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
