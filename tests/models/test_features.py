"""Feature extractors: penultimate features, class scores on top of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from models.features import BranchedFeatures, ChannelFeatures, DenseFeatures, LeNetFeatures, ResidualFeatures


@pytest.mark.parametrize("extractor", [LeNetFeatures(), ResidualFeatures()])
@torch.no_grad()
def test_features_and_class_scores_have_their_shapes(extractor: LeNetFeatures | ResidualFeatures) -> None:
    images = torch.rand(3, 1, 28, 28) * 2 - 1
    features = extractor.eval()(images)
    assert features.shape == (3, extractor.feature_dim)
    torch.testing.assert_close(extractor.logits(images), extractor.head(features))
    assert extractor.logits(images).shape == (3, 10)


@torch.no_grad()
def test_branches_stand_side_by_side_in_one_unit_and_the_pooled_one_weighs_as_much_as_the_rest() -> None:
    extractor = BranchedFeatures().eval()
    images = torch.rand(64, 1, 28, 28) * 2 - 1
    extractor.set_scale(images)
    branches = extractor(images).split([128, 96, 64, 96], dim=1)
    for branch, weight in zip(branches, (1, 1, 1, 3), strict=True):
        spread = float((branch - branch.mean(0)).norm(dim=1).mean())
        assert spread == pytest.approx(weight**0.5, rel=1e-4)
    assert extractor.all_logits(images).shape == (4, 64, 10)
    torch.testing.assert_close(extractor.logits(images), extractor.all_logits(images).mean(0))
    torch.testing.assert_close(extractor.logits_of(extractor(images)), extractor.logits(images))


@pytest.mark.parametrize("extractor", [DenseFeatures(64), ResidualFeatures()])
@torch.no_grad()
def test_images_of_8x8_have_two_unlike_feature_spaces(extractor: DenseFeatures | ResidualFeatures) -> None:
    images = torch.rand(3, 1, 8, 8) * 2 - 1
    assert extractor.eval()(images).shape == (3, extractor.feature_dim)
    torch.testing.assert_close(extractor.logits(images), extractor.head(extractor(images)))


@pytest.mark.parametrize("body", ["lenet", "residual"])
@torch.no_grad()
def test_channels_are_read_by_one_network_and_their_digits_make_one_number(body: str) -> None:
    extractor = ChannelFeatures(body).eval()
    images = torch.rand(4, 3, 28, 28) * 2 - 1
    width = extractor.body.feature_dim
    features, digits = extractor(images), [extractor.body.logits(images[:, c : c + 1]).argmax(1) for c in range(3)]
    assert features.shape == (4, 3 * width)
    torch.testing.assert_close(features[:, width : 2 * width], extractor.body(images[:, 1:2]))
    assert extractor.logits(images).shape == (4, 1_000)
    assert torch.equal(extractor.logits(images).argmax(1), 100 * digits[0] + 10 * digits[1] + digits[2])


@torch.no_grad()
def test_the_cross_entropy_of_a_number_is_that_of_its_three_digits() -> None:
    extractor = ChannelFeatures("lenet").eval()
    images, digits = torch.rand(4, 3, 28, 28) * 2 - 1, torch.tensor([[0, 0, 7], [1, 2, 3], [9, 9, 9], [5, 0, 5]])
    whole = cross_entropy(extractor.logits(images), digits @ torch.tensor([100, 10, 1]))
    parts = [cross_entropy(extractor.body.logits(images[:, c : c + 1]), digits[:, c]) for c in range(3)]
    torch.testing.assert_close(whole, torch.stack(parts).sum())


def test_channels_of_another_number_of_classes_or_an_unknown_body_are_refused() -> None:
    with pytest.raises(ValueError, match="999 classes are not"):
        ChannelFeatures("lenet", 999)
    with pytest.raises(ValueError, match="unknown body 'dense'; known: lenet, residual"):
        ChannelFeatures("dense")
