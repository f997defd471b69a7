"""What a data set is, and how networks see it."""

from __future__ import annotations

import pytest
import torch

from training.data.dataset import DataError, Dataset, as_network_input


def test_images_reach_the_networks_in_minus_one_to_one() -> None:
    images = torch.tensor([0, 51, 255, 204], dtype=torch.uint8).view(2, 1, 1, 2)
    data = Dataset("tiny", images)
    expected = torch.tensor([[-1.0, -0.6], [1.0, 0.6]]).view(2, 1, 1, 2)
    torch.testing.assert_close(data.batch(torch.tensor([0, 1])), expected)
    torch.testing.assert_close(data.batch(torch.tensor([1, 1])), expected[[1, 1]])
    assert images.flatten().tolist() == [0, 51, 255, 204]


def test_points_pass_through() -> None:
    points = torch.tensor([[0.5, 200.0], [1.0, -3.0]])
    assert as_network_input(points) is points


def test_a_subset_keeps_samples_and_labels_together() -> None:
    data = Dataset("cloud", torch.arange(6.0).view(3, 2), torch.tensor([7, 8, 9]))
    part = data.subset(torch.tensor([2, 0]))
    assert part.labels is not None and part.labels.tolist() == [9, 7]
    assert part.samples.tolist() == [[4, 5], [0, 1]] and part.name == "cloud"


@pytest.mark.parametrize("shape", [(4,), (4, 2, 2), (4, 1, 2, 2, 2)])
def test_samples_are_points_or_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"cloud: samples must be \[n, dim\] or \[n, c, h, w\]"):
        Dataset("cloud", torch.zeros(shape))
