"""Class shares and their total variation."""

from __future__ import annotations

import pytest
import torch

from training.metrics.classes import class_shares, total_variation


def test_shares_count_every_class_also_the_absent_ones() -> None:
    assert class_shares(torch.tensor([0, 2, 2, 2]), classes=4) == [0.25, 0.0, 0.75, 0.0]
    assert class_shares(torch.tensor([1, 1], dtype=torch.uint8), classes=2) == [0.0, 1.0]


def test_total_variation_is_the_mass_that_would_have_to_move() -> None:
    assert total_variation([0.5, 0.5, 0.0], [0.25, 0.25, 0.5]) == 0.5
    assert total_variation([1.0, 0.0], [0.0, 1.0]) == 1.0
    assert total_variation([0.3, 0.7], [0.3, 0.7]) == 0.0


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (torch.tensor([0, 3]), r"lie in 0 .. 3, outside 0 .. 2; check the number of classes"),
        (torch.tensor([-1, 0]), r"lie in -1 .. 0, outside"),
        (torch.tensor([0.0, 1.0]), "must be integers.*take argmax"),
        (torch.zeros(2, 3, dtype=torch.int64), "must be integers.*take argmax"),
        (torch.tensor([], dtype=torch.int64), "no labels; classify at least one"),
    ],
)
def test_broken_labels_are_refused(labels: torch.Tensor, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        class_shares(labels, classes=3)


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ([0.5, 0.5], [1.0], "2 and 1 classes; use one number"),
        ([3.0, 4.0], [0.5, 0.5], "sum to 1, not 7.0; divide counts"),
        ([0.5, 0.5], [1.5, -0.5], "non-negative"),
        ([float("nan"), 1.0], [0.5, 0.5], "sum to 1"),
    ],
)
def test_broken_shares_are_refused(first: list[float], second: list[float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        total_variation(first, second)
