"""GAN losses and the gradient penalty by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.losses import critic_loss, freeze, generator_loss, gradient_penalty

REAL, FAKE = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 1.0])


def test_the_hinge_loss_by_hand() -> None:
    """(0 + 0.5 + 2) / 3 of the reals and (0 + 1 + 2) / 3 of the fakes."""
    assert float(critic_loss("hinge", REAL, FAKE)) == pytest.approx(2.5 / 3 + 1.0)


def test_the_wasserstein_loss_by_hand() -> None:
    assert float(critic_loss("wasserstein", REAL, FAKE)) == pytest.approx(-2 / 3 - 0.5)


@pytest.mark.parametrize(
    ("kind", "expected"), [("hinge", 2.5 / 3 + (2 * 1 + 0.5 * 2) / 3), ("wasserstein", 0.5 / 3 - 0.5)]
)
def test_weights_multiply_the_fakes_terms_alone(kind: str, expected: float) -> None:
    weight = torch.tensor([0.0, 2.0, 0.5])
    assert float(critic_loss(kind, REAL, FAKE, weight)) == pytest.approx(expected)


def test_the_generator_climbs_the_critic() -> None:
    assert float(generator_loss(FAKE)) == pytest.approx(2 / 3)


def test_the_penalty_of_a_linear_critic_is_its_slope_minus_one_squared() -> None:
    slope = torch.tensor([3.0, 4.0])
    real, fake = torch.randn(16, 2), torch.randn(16, 2)
    penalty = gradient_penalty(lambda x: x @ slope + 7, real, fake, torch.Generator().manual_seed(0))
    assert float(penalty) == pytest.approx((5 - 1) ** 2)


def test_the_penalty_of_images_takes_one_norm_an_image() -> None:
    images = torch.zeros(3, 1, 2, 2)
    penalty = gradient_penalty(lambda x: 2 * x.sum(dim=(1, 2, 3)), images, images, torch.Generator().manual_seed(0))
    assert float(penalty) == pytest.approx((4 - 1) ** 2)


def test_the_penalty_is_taken_between_the_pairs() -> None:
    """At points that spread over the whole segment, one place a sample, on the line from fake to real."""
    seen: list[torch.Tensor] = []

    def critic(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return x.sum(dim=1)

    real, fake = torch.tensor([[1.0, 2.0]]).repeat(500, 1), torch.tensor([[-1.0, -2.0]]).repeat(500, 1)
    gradient_penalty(critic, real, fake, torch.Generator().manual_seed(0))
    (points,) = seen
    torch.testing.assert_close(points[:, 1], 2 * points[:, 0])
    assert points[:, 0].min() < -0.9 and points[:, 0].max() > 0.9 and abs(float(points[:, 0].mean())) < 0.1


def test_the_penalty_can_be_descended() -> None:
    critic = nn.Linear(2, 1)
    gradient_penalty(lambda x: critic(x).squeeze(1), torch.ones(4, 2), torch.zeros(4, 2), torch.Generator()).backward()
    assert critic.weight.grad is not None and critic.weight.grad.any()


def test_freeze_turns_gradients_off_and_on() -> None:
    network = nn.Linear(2, 2)
    freeze(network)
    assert not any(p.requires_grad for p in network.parameters())
    freeze(network, False)
    assert all(p.requires_grad for p in network.parameters())
