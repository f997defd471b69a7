"""Feature extractors: penultimate features, class scores on top of them."""

from __future__ import annotations

import pytest
import torch

from models.features import LeNetFeatures, ResidualFeatures


@pytest.mark.parametrize("extractor", [LeNetFeatures(), ResidualFeatures()])
@torch.no_grad()
def test_features_and_class_scores_have_their_shapes(extractor: LeNetFeatures | ResidualFeatures) -> None:
    images = torch.rand(3, 1, 28, 28) * 2 - 1
    features = extractor.eval()(images)
    assert features.shape == (3, extractor.feature_dim)
    torch.testing.assert_close(extractor.logits(images), extractor.head(features))
    assert extractor.logits(images).shape == (3, 10)
