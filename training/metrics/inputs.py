"""What every metric accepts: finite float features [n, d], computed on in float64."""

from __future__ import annotations

import torch


def as_samples(features: torch.Tensor, name: str, at_least: int = 1) -> torch.Tensor:
    """``features`` as float64 [n, d] on the CPU. Raises ValueError, with ``name`` in the message."""
    if not isinstance(features, torch.Tensor):
        raise ValueError(f"{name} features must be a torch tensor, not {type(features).__name__}; use torch.as_tensor")
    if features.ndim != 2 or not features.is_floating_point():
        got = f"{features.dtype} {list(features.shape)}"
        raise ValueError(f"{name} features must be floats [n, d], not {got}; flatten the samples or extract features")
    if features.shape[1] == 0:
        raise ValueError(f"{name} features have no columns; check the feature extractor")
    if len(features) < at_least:
        raise ValueError(f"{name} has {len(features)} sample(s), this metric needs at least {at_least}; draw more")
    if not torch.isfinite(features).all():
        raise ValueError(f"{name} features hold NaN or infinite values; remove those rows or mend the extractor")
    return features.detach().to("cpu", torch.float64)


def same_space(
    real: torch.Tensor, fake: torch.Tensor, at_least: int = 1, names: tuple[str, str] = ("real", "fake")
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both sets as float64, checked to lie in one feature space. Raises ValueError."""
    real, fake = as_samples(real, names[0], at_least), as_samples(fake, names[1], at_least)
    if real.shape[1] != fake.shape[1]:
        widths = f"{real.shape[1]} and {fake.shape[1]}"
        raise ValueError(f"{names[0]} and {names[1]} features have {widths} dimensions; use one extractor for both")
    return real, fake
