"""A recording goes by what it is given, on doubles of a device: there is none where tests run."""

from __future__ import annotations

import pytest
import torch

from benchmarks.recorded import Recorded
from tests.late_device import There, install, plain, there, values_of


def doubled(latents: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """A network of that device: twice its input, in memory that a recording keeps."""
    source, made = plain(latents), torch.zeros(latents.shape)
    There.stream.ask(lambda: made.copy_(2 * source))
    return (made.as_subclass(There),)


def test_it_goes_by_the_values_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    run = Recorded(doubled, there(1, 2))
    answers = [run(there(*values)) for values in ((5, 6), (7, 8), (5, 6))]
    assert [values_of(answer) for (answer,) in answers] == [[10.0, 12.0], [14.0, 16.0], [10.0, 12.0]]
