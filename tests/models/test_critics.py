"""Critics give one raw score a sample."""

from __future__ import annotations

import torch

from models.critics import Cnn28Critic, MlpCritic


def images(n: int) -> torch.Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_one_score_an_image() -> None:
    assert Cnn28Critic((4, 6))(images(3)).shape == (3,)
    assert Cnn28Critic((4, 6))(images(1)).shape == (1,)


def test_the_mlp_scores_samples_of_any_shape() -> None:
    critic = MlpCritic(28 * 28, hidden=(8,))
    torch.testing.assert_close(critic(images(3)), critic(images(3).flatten(1)))
    assert MlpCritic(2)(torch.zeros(1, 2)).shape == (1,)


@torch.no_grad()
def test_scores_are_raw_and_take_both_signs_and_any_size() -> None:
    torch.manual_seed(0)
    critic = MlpCritic(2)
    scores = critic(1_000 * torch.randn(200, 2, generator=torch.Generator().manual_seed(1)))
    assert float(scores.min()) < -1 and float(scores.max()) > 1


@torch.no_grad()
def test_each_score_depends_on_its_own_image_alone() -> None:
    critic = Cnn28Critic((4, 6)).eval()
    torch.testing.assert_close(critic(images(6))[2:4], critic(images(6)[2:4]), atol=1e-5, rtol=1e-5)
