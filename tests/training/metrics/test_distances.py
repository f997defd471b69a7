"""Distances in blocks are the distances."""

from __future__ import annotations

import pytest
import torch

from tests.training.metrics.samples import column, normal
from training.metrics.distances import BLOCK_ROWS, distance_blocks, nearest_distances


@pytest.mark.parametrize("rows", [1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 3])
@pytest.mark.parametrize("exact", [True, False])
def test_the_blocks_cover_every_row_once_and_in_order(rows: int, exact: bool) -> None:
    x, y = normal(rows, 4, seed=0).double(), normal(5, 4, seed=1).double()
    blocks = list(distance_blocks(x, y, exact))
    torch.testing.assert_close(torch.cat([block for _, block in blocks]), (x[:, None] - y).norm(dim=2))
    assert [i for part, _ in blocks for i in range(rows)[part]] == list(range(rows))
    assert max(len(block) for _, block in blocks) <= BLOCK_ROWS


def test_exact_distances_of_coincident_points_are_zero() -> None:
    x = normal(BLOCK_ROWS + 50, 64, seed=2, shift=100.0).double()
    assert all(not block[:, rows].diagonal().any() for rows, block in distance_blocks(x, x))


def test_the_nearest_of_several_points() -> None:
    x, y = column(0.0, 10.0).double(), column(1.0, -3.0, 8.5).double()
    assert nearest_distances(x, y).tolist() == [1.0, 1.5]
