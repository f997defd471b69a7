"""Frechet distance between Gaussians fitted to features (FID, Heusel et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.metrics.inputs import as_samples, same_space


@dataclass(frozen=True)
class Gaussian:
    """Mean [d] and a root R [min(n, d), d] of the covariance, S = R^T R with the divisor n - 1; float64."""

    mean: torch.Tensor
    root: torch.Tensor


def fit_gaussian(features: torch.Tensor, name: str = "real", weights: torch.Tensor | None = None) -> Gaussian:
    """Statistics of features [n, d], n >= 2, each row with its weight [n] >= 0 where they are given. Raises ValueError.

    The root comes from a QR factorisation of the centred features: the covariance is never formed, so no
    eigenvalue is rounded below zero, and fewer samples than dimensions are no special case. With shares p = w / sum w
    the divisor is 1 - sum p^2, which is (n - 1) / n of equal ones.
    """
    samples = as_samples(features, name, at_least=2)
    if weights is None:
        mean = samples.mean(dim=0)
        scaled = (samples - mean) / (len(samples) - 1) ** 0.5
    else:
        shares = weights.to(samples) / weights.sum(dtype=samples.dtype)
        mean = shares @ samples
        scaled = (samples - mean) * (shares / (1 - shares.square().sum())).sqrt()[:, None]
    root: torch.Tensor = torch.linalg.qr(scaled, mode="r").R
    return Gaussian(mean, root)


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """||m1 - m2||^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), squared units of the features.

    With S = R^T R the eigenvalues of S1 S2 are the squared singular values of R1 R2^T, hence
    Tr (S1 S2)^(1/2) is the sum of those singular values: no matrix square root is taken.
    """
    shift = (first.mean - second.mean).square().sum()
    spread = first.root.square().sum() + second.root.square().sum()
    overlap = torch.linalg.svdvals(first.root @ second.root.T).sum()
    return max(0.0, float(shift + spread - 2 * overlap))


def fid(real: torch.Tensor, fake: torch.Tensor) -> float:
    """Frechet distance of features [n, d] and [m, d], n, m >= 2. Raises ValueError.

    Biased upwards by about 1/n: compare only at equal n, and only with the same feature extractor.
    """
    real, fake = same_space(real, fake, at_least=2)
    return frechet_distance(fit_gaussian(real), fit_gaussian(fake, "fake"))
