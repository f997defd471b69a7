"""Progress of a training run: a bar with rate and time left, and TensorBoard scalars where it is installed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from tqdm import tqdm

SCALARS_EVERY = 50


class Progress:
    """Context manager; ``update`` once a step with the step's scalars."""

    def __init__(self, out: Path, total: int, start: int = 0, title: str = "train") -> None:
        self._bar = tqdm(total=total, initial=start, desc=title, unit="step", dynamic_ncols=True, mininterval=1.0)
        self._step = start
        self._writer = _tensorboard(out)

    def update(self, scalars: dict[str, torch.Tensor]) -> None:
        self._step += 1
        self._bar.update()
        if self._step % SCALARS_EVERY:
            return
        values = {name: float(value) for name, value in scalars.items()}
        self._bar.set_postfix({name.split("/")[-1]: f"{value:.3f}" for name, value in values.items()}, refresh=False)
        for name, value in values.items():
            self.scalar(name, value)

    def scalar(self, name: str, value: float) -> None:
        """One value at the current step, at once."""
        if self._writer is not None:
            with suppress(OSError):  # a disk that is full is for the checkpoint to tell, not for a by-product
                self._writer.add_scalar(name, value, self._step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.close()
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()


def _tensorboard(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # the extra `train` brings it; training works without
        return None
    return SummaryWriter(str(out / "tensorboard"))
