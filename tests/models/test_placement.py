"""Networks lie where they are put before anybody else's stream reads them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.placement import place


def test_kernels_are_channels_last_and_nothing_is_waited_for_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cuda, "synchronize")
    network = place(nn.Conv2d(4, 8, 3), "cpu")
    assert isinstance(network, nn.Conv2d) and network.weight.is_contiguous(memory_format=torch.channels_last)


def test_on_cuda_the_device_is_done_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[object] = []
    monkeypatch.setattr(nn.Conv2d, "to", lambda self, device: steps.append(("moved", device)))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: steps.append(("waited", device)))
    place(nn.Conv2d(4, 8, 3), "cuda:1")
    assert steps == [("moved", "cuda:1"), ("waited", "cuda:1")]
