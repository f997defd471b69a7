"""Which devices there are, and what of them decides the bits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import torch

from service.engine import devices
from service.engine.devices import choose_devices, device_facts, places_of
from service.engine.errors import DeviceUnavailable

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """So many CUDA devices, as far as torch says."""

    def there_are(number: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return there_are


def test_auto_is_every_cuda_device_or_the_cpu(gpus: Callable[[int], None]) -> None:
    gpus(0)
    assert choose_devices(["auto"]) == (torch.device("cpu"),)
    gpus(2)
    assert choose_devices(["auto"]) == (torch.device("cuda", 0), torch.device("cuda", 1))


@pytest.mark.parametrize(
    ("names", "loops", "places"),
    [
        (["cpu"], 2, ["cpu", "cpu"]),
        (["cuda:0", "cuda:1"], 1, ["cuda:0", "cuda:1"]),
        (["cuda:0", "cuda:1"], 2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
    ],
)
def test_each_device_has_its_first_loop_before_any_has_a_second(
    names: list[str], loops: int, places: list[str]
) -> None:
    assert [str(place) for place in places_of([torch.device(name) for name in names], loops)] == places


def test_devices_are_taken_as_they_are_named(gpus: Callable[[int], None]) -> None:
    gpus(2)
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    assert choose_devices(["cpu:0", "cpu", "cuda", "cuda:1"]) == (cpu, cpu, cuda, torch.device("cuda", 1))


@pytest.mark.parametrize(
    ("names", "number", "says"),
    [
        ([], 2, "no device is named"),
        (["gpu0"], 2, "'gpu0' is no device"),
        (["meta"], 2, "'meta' is no device"),
        (["auto", "cpu"], 2, "'auto' is no device"),
        (["cuda:0"], 0, "torch sees no CUDA device"),
        (["cuda:2"], 2, "torch sees 2 CUDA devices"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    gpus: Callable[[int], None], names: list[str], number: int, says: str
) -> None:
    gpus(number)
    with pytest.raises(DeviceUnavailable, match=says):
        choose_devices(names)


def test_the_kind_of_device_is_part_of_what_bits_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "some accelerator")
    facts = device_facts(torch.device("cuda", 1))
    assert (facts["device"], facts["capability"]) == ("some accelerator", "9.0")
    assert facts == device_facts(torch.device("cuda", 0)) != device_facts(torch.device("cpu"))


@pytest.fixture(autouse=True)
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.backends.cudnn.deterministic
    monkeypatch.delenv(CUBLAS, raising=False)
    yield
    torch.backends.cudnn.deterministic = before


def test_kernels_on_cuda_are_chosen_for_their_bits() -> None:
    devices.keep_bits([torch.device("cuda", 0)])
    assert torch.backends.cudnn.deterministic
    assert os.environ[CUBLAS] == ":4096:8"
    assert not torch.backends.cudnn.benchmark


def test_what_cublas_was_told_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS, ":16:8")
    devices.keep_bits([torch.device("cuda", 0)])
    assert os.environ[CUBLAS] == ":16:8"


def test_a_cpu_needs_nothing_of_it() -> None:
    devices.keep_bits([torch.device("cpu")])
    assert CUBLAS not in os.environ
