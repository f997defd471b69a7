"""One evaluated block of proposals: the unit that a stream advances by."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Block:
    """Proposed ``latents`` [block, dim], ``weights`` [block] (None without a w) and which ``passed``, bool [block]."""

    latents: torch.Tensor
    weights: torch.Tensor | None
    passed: torch.Tensor
