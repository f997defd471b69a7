"""Every metric refuses broken features with a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.training.metrics.samples import normal
from training.metrics.discrepancy import energy_distance, kid
from training.metrics.fid import fid
from training.metrics.hausdorff import average_hausdorff
from training.metrics.neighbours import density_coverage, precision_recall
from training.metrics.transport import emd

METRICS = (fid, precision_recall, density_coverage, emd, energy_distance, kid, average_hausdorff)
GOOD = normal(8, 3, seed=0)


def planted(value: float) -> torch.Tensor:
    """Good features but for one ``value``, in the last place."""
    broken = GOOD.clone()
    broken[-1, -1] = value
    return broken


BAD = {
    "another dimension": (normal(8, 4, seed=1), "3 and 4 dimensions; use one extractor"),
    "NaN": (planted(torch.nan), "NaN or infinite values; remove"),
    "infinity": (planted(torch.inf), "NaN or infinite values; remove"),
    "images": (torch.zeros(8, 1, 2, 2), r"floats \[n, d\].*flatten"),
    "integers": (torch.zeros(8, 3, dtype=torch.uint8), r"floats \[n, d\].*extract features"),
    "no columns": (torch.zeros(8, 0), "no columns; check the feature extractor"),
    "no rows": (torch.zeros(0, 3), "0 sample.*draw more"),
    "numpy": (np.zeros((8, 3)), "must be a torch tensor, not ndarray; use torch.as_tensor"),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", BAD)
def test_every_metric_refuses(metric: Callable[..., object], kind: str) -> None:
    features, sentence = BAD[kind]
    with pytest.raises(ValueError, match=sentence):
        metric(GOOD, features)
    if kind != "another dimension":
        with pytest.raises(ValueError, match=sentence):
            metric(features, GOOD)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_answers_in_floats_and_leaves_its_input_alone(metric: Callable[..., object]) -> None:
    real, fake = normal(16, 3, seed=2), normal(16, 3, seed=3).requires_grad_()
    before = real.clone(), fake.detach().clone()
    value = metric(real, fake)
    assert all(type(part) is float for part in (value if isinstance(value, tuple) else (value,)))
    assert torch.equal(real, before[0]) and torch.equal(fake, before[1])


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_sees_the_same_in_float32_and_float64(metric: Callable[..., object]) -> None:
    real, fake = normal(32, 3, seed=4), normal(32, 3, seed=5)
    assert metric(real, fake) == metric(real.double(), fake.double())


@pytest.mark.parametrize("metric", METRICS)
def test_a_common_permutation_of_rows_changes_nothing_but_rounding(metric: Callable[..., object]) -> None:
    real, fake = normal(32, 3, seed=6), normal(32, 3, seed=7, shift=0.5)
    assert metric(real.flip(0), fake.roll(5, 0)) == pytest.approx(metric(real, fake), rel=1e-9)
