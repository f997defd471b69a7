"""Feature spaces side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from models.critics import Cnn28Critic, MlpCritic
from models.priors import Prior
from training.data.dataset import Dataset
from training.features import features_of
from training.weights.config import SpaceName
from training.weights.problem import Problem, digest
from training.weights.spaces import PROJECTED, feature_space

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> Problem:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    data = Dataset("noise", torch.randint(256, (60, 1, 28, 28), generator=rng, dtype=torch.uint8))
    features = nn.Sequential(nn.Flatten(), nn.Linear(784, 20)).eval()
    return Problem(Prior("normal", 4), nn.Identity(), features, data, CPU, Cnn28Critic((4, 8)).eval())


def columns(problem: Problem, *names: SpaceName) -> tuple[torch.Tensor, tuple[int, ...]]:
    network, widths = feature_space(problem, names)
    return features_of(network, problem.real.samples, CPU), widths


def test_features_alone_are_the_problems_own(images: Problem) -> None:
    assert feature_space(images, ("features",)) == (images.features, ())


def test_each_space_has_mean_distance_one_between_real_rows(images: Problem) -> None:
    found, widths = columns(images, "features", "samples", "critic")
    assert widths == (20, PROJECTED, 8 * 7 * 7) and found.shape == (60, sum(widths))
    for part in found.split(widths, dim=1):
        assert float(torch.pdist(part).mean()) == pytest.approx(1.0, abs=1e-4)


def test_a_wide_space_is_projected_and_keeps_its_distances(images: Problem) -> None:
    found, _ = columns(images, "samples")
    pixels = images.real.batch(torch.arange(60)).flatten(1)
    ratio = torch.pdist(found) / torch.pdist(pixels) * torch.pdist(pixels).mean()
    assert float(ratio.std()) < 0.07


def test_the_critics_space_is_what_its_last_layer_reads(images: Problem) -> None:
    torch.manual_seed(1)
    critic = MlpCritic(784, (16, 12)).eval()
    found, widths = columns(replace(images, critic=critic), "critic")
    assert widths == (12,)
    x = images.real.batch(torch.arange(60)).flatten(1)
    wanted = critic.body[:-1](x)
    torch.testing.assert_close(found / found.norm(), wanted / wanted.norm())


def test_points_are_their_own_features_and_samples() -> None:
    data = Dataset("points", torch.randn(50, 3, generator=torch.Generator().manual_seed(1)))
    problem = Problem(Prior("normal", 3), nn.Identity(), None, data, CPU, MlpCritic(3, (8,)).eval())
    found, widths = columns(problem, "samples", "critic")
    assert widths == (3, 8) and torch.isfinite(found).all()
    with pytest.raises(ValueError, match="features are the samples themselves; name one"):
        feature_space(problem, ("features", "samples"))


def test_other_spaces_have_another_digest(images: Problem) -> None:
    """The pool's cache goes by it."""
    made = [feature_space(images, names)[0] for names in (("samples",), ("critic",), ("features", "samples"))]
    assert len({digest(network) for network in made}) == 3


def test_what_cannot_be_had_is_refused(images: Problem) -> None:
    with pytest.raises(ValueError, match="each once"):
        feature_space(images, ("critic", "critic"))
    with pytest.raises(ValueError, match="no critic"):
        feature_space(replace(images, critic=None), ("critic",))
    with pytest.raises(ValueError, match="no linear layer"):
        feature_space(replace(images, critic=nn.Flatten()), ("critic",))
    with pytest.raises(ValueError, match="gives NaN, or the same features"):
        broken = nn.Sequential(nn.Flatten(), nn.Threshold(1e9, float("nan")))
        feature_space(replace(images, features=broken), ("features", "critic"))
