"""Classifiers learn their classes, each branch for itself."""

from __future__ import annotations

import pytest
import torch

from models.features import BranchedFeatures, DenseFeatures
from training.data.dataset import DataError, Dataset
from training.feature_spaces import feature_spaces_for
from training.features import accuracy, features_of, train_classifier

CPU = torch.device("cpu")


def corners(n: int) -> Dataset:
    """Noise with a bright patch in one of four corners: the corner is the class."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (n,), generator=rng)
    images = torch.randint(0, 120, (n, 1, 28, 28), generator=rng, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[0, row * 14 + 4 : row * 14 + 10, column * 14 + 4 : column * 14 + 10] = 255
    return Dataset("corners", images, labels)


@pytest.mark.parametrize("architecture", ["lenet-features", "residual-features", "branched-features"])
def test_a_classifier_learns_its_classes(architecture: str) -> None:
    data = corners(1_280)
    network = train_classifier(architecture, data, epochs=3, seed=0, device=CPU)
    assert accuracy(network, data, CPU) > 0.95
    assert not network.training


def test_every_branch_is_a_classifier_of_its_own_and_the_branches_have_one_unit() -> None:
    data = corners(1_280)
    network = train_classifier("branched-features", data, epochs=3, seed=0, device=CPU)
    assert isinstance(network, BranchedFeatures)
    correct = network.all_logits(data.batch(torch.arange(len(data)))).argmax(2) == data.labels
    assert float(correct.float().mean(1).min()) > 0.9
    parts = features_of(network, data.samples, CPU).split([128, 96, 64, 96], dim=1)
    spreads = torch.stack([(part - part.mean(0)).norm(dim=1).mean() for part in parts])
    torch.testing.assert_close(spreads, torch.tensor(BranchedFeatures.WEIGHTS).sqrt(), rtol=0.01, atol=0)


def test_unlabelled_data_is_refused() -> None:
    with pytest.raises(DataError, match="needs labels"):
        train_classifier("lenet-features", Dataset("plain", corners(200).samples), 1, 0, CPU)


def test_each_kind_of_image_has_two_unlike_classifiers() -> None:
    def spaces(*shape: int) -> list[str]:
        data = Dataset("data", torch.zeros(4, *shape, dtype=torch.uint8))
        return [space.architecture for space in feature_spaces_for(data).values()]

    assert spaces(1, 28, 28) == ["branched-features", "residual-features"]
    assert spaces(1, 8, 8) == ["dense-features", "residual-features"]
    assert spaces(3, 28, 28) == ["channel-features", "channel-features"]


@pytest.mark.parametrize("shape", [(2,), (1, 64, 64), (3, 32, 32)])
def test_data_without_a_classifier_of_its_kind_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="feature classifiers take grey images of at most 28x28"):
        feature_spaces_for(Dataset("data", torch.zeros(4, *shape)))


def test_a_classifier_is_built_with_what_its_architecture_takes() -> None:
    images = torch.zeros(128, 1, 8, 8, dtype=torch.uint8)
    data = Dataset("small", images, torch.arange(128) % 3)
    network = train_classifier("dense-features", data, epochs=1, seed=0, device=CPU, config={"input_dim": 64})
    assert isinstance(network, DenseFeatures) and network.head.out_features == 3
