"""Each objective's formula against hand-made cases."""

from __future__ import annotations

import pytest
import torch

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.ascent import uphill
from sampling.latentrs import sample_latentrs
from sampling.streams import BlockStream
from training.metrics.discrepancy import energy_distance
from training.weights.adversarial import weight_loss
from training.weights.calibrate import calibrate, longest_step, normalise_mean
from training.weights.config import AdversarialConfig
from training.weights.energy import energy_loss
from training.weights.kernels import potential

RNG = torch.Generator().manual_seed(3)


def test_energy_loss_of_flat_weights_is_the_energy_distance_up_to_the_datas_own_term() -> None:
    real, fake = torch.randn(300, 4, generator=RNG), torch.randn(200, 4, generator=RNG) + 0.5
    cross = potential(torch.cdist, fake, real)
    within = torch.cdist(fake, fake).fill_diagonal_(0.0)
    own = torch.pdist(real).mean()
    loss = energy_loss(torch.full((200,), 2.0), cross, 4 * within.sum(), mean_penalty=0.0)
    assert float(loss - own) == pytest.approx(energy_distance(real, fake), abs=1e-4)


def test_energy_loss_does_not_depend_on_the_scale_of_the_weights_but_its_penalty_does() -> None:
    fake = torch.randn(50, 3, generator=RNG)
    cross, within, weights = torch.rand(50, generator=RNG), torch.cdist(fake, fake), torch.rand(50, generator=RNG)
    pairs = weights @ within @ weights
    alone = energy_loss(weights, cross, pairs, 0.0)
    torch.testing.assert_close(alone, energy_loss(weights * 7, cross, 49 * pairs, 0.0))
    penalised = energy_loss(weights, cross, pairs, 2.0)
    torch.testing.assert_close(penalised - alone, 2 * (weights.mean() - 1) ** 2)


def test_the_estimate_does_not_reward_flat_weights_for_being_flat() -> None:
    """Random weights, independent of the rows, leave the law as it is: the estimate's mean must not move."""
    real = torch.randn(2_000, 4, generator=RNG)
    differences = []
    for _ in range(200):
        fake = torch.randn(40, 4, generator=RNG)
        cross, within = potential(torch.cdist, fake, real), torch.cdist(fake, fake).fill_diagonal_(0.0)
        spiky = torch.where(torch.rand(40, generator=RNG) < 1 / 3, 3.0, 0.0) + 1e-6
        flat = energy_loss(torch.ones(40), cross, within.sum(), 0.0)
        differences.append(float(energy_loss(spiky, cross, spiky @ within @ spiky, 0.0) - flat))
    spread = torch.tensor(differences)
    assert abs(float(spread.mean())) < 3 * float(spread.std()) / len(differences) ** 0.5


@pytest.mark.parametrize("reward", ["minimum", "self-normalised"])
def test_descending_the_weight_loss_raises_the_weight_of_what_the_critic_likes(reward: str) -> None:
    """The sign that Algorithm 1 prints the other way round."""
    weights = torch.ones(8, requires_grad=True)
    scores = torch.arange(8.0)
    config = AdversarialConfig(reward=reward, mean_penalty=0.0, clip_penalty=0.0)  # type: ignore[arg-type]
    weight_loss(weights, scores, 3.0, config).backward()
    assert weights.grad is not None
    assert float(weights.grad[-1]) < 0
    assert float(weights.grad[-1]) < float(weights.grad[0])


def test_the_soft_clip_averages_squares_of_the_excess() -> None:
    config = AdversarialConfig(reward="minimum", mean_penalty=0.0, clip_penalty=3.0)
    loss = weight_loss(torch.tensor([1.0, 5.0]), torch.zeros(2), 3.0, config)
    assert float(loss) == pytest.approx(3.0 * (0 + 4) / 2)


def test_the_self_normalised_reward_ignores_the_scale_of_weights_and_scores() -> None:
    config = AdversarialConfig(reward="self-normalised", mean_penalty=0.0, clip_penalty=0.0)
    weights, scores = torch.rand(20, generator=RNG), torch.randn(20, generator=RNG)
    first = weight_loss(weights, scores, 9.0, config)
    torch.testing.assert_close(first, weight_loss(weights * 3, scores * 5 + 2, 9.0, config))


def test_after_normalisation_the_mean_weight_is_one_and_calibration_agrees_with_sampling() -> None:
    torch.manual_seed(0)
    network, prior = ImportanceNetwork(4, (16,)), Prior("normal", 4)
    torch.nn.init.normal_(network.body[-1].weight)
    normalise_mean(network, prior, seed=1)
    calibration = calibrate(network.requires_grad_(False), prior, seed=2)
    assert calibration.mean_weight == pytest.approx(1.0, abs=0.02)
    assert calibration.acceptance_rate == pytest.approx(1 / 3, abs=0.007)
    assert calibration.share_above_cap == 0
    cost = sample_latentrs(prior, network, 20_000, BlockStream(3, 4_096)).cost
    error = (calibration.acceptance_rate * (1 - calibration.acceptance_rate) / cost.proposals) ** 0.5
    assert abs(cost.acceptance_rate - calibration.acceptance_rate) < 5 * error


def test_calibration_refuses_a_dead_network() -> None:
    network = ImportanceNetwork(2, (4,), head="relu")
    torch.nn.init.constant_(network.body[-1].bias, -1.0)
    with pytest.raises(ValueError, match="every weight is zero"):
        calibrate(network, Prior("normal", 2), seed=0, rows=1_000)


@pytest.mark.parametrize(
    ("weights", "scores"), [((0.5, 1.5, 1.0), (2.0, 2.0, 2.0)), ((0.0, 0.0, 0.0), (1.0, 2.0, 3.0))]
)
def test_equal_scores_and_dead_weights_give_no_reward_rather_than_nan(
    weights: tuple[float, ...], scores: tuple[float, ...]
) -> None:
    w = torch.tensor(weights, requires_grad=True)
    loss = weight_loss(w, torch.tensor(scores), 3.0, AdversarialConfig())
    loss.backward()  # type: ignore[no-untyped-call]
    assert w.grad is not None
    assert torch.isfinite(loss) and torch.isfinite(w.grad).all()
    assert float(loss.detach()) == pytest.approx(10.0 * (sum(weights) / 3 - 1) ** 2)


@pytest.mark.parametrize("steepness", [1.0, 40.0])
def test_the_longest_step_moves_a_steep_latent_by_a_fifteenth_of_its_norm(steepness: float) -> None:
    torch.manual_seed(0)
    network, prior = ImportanceNetwork(6, (16,)).requires_grad_(False), Prior("normal", 6)
    torch.nn.init.normal_(network.body[-1].weight, std=steepness)
    step = longest_step(network, prior, seed=1)
    z = prior.sample(20_000, torch.Generator().manual_seed(2))
    steep = uphill(network, z)[1].norm(dim=1).quantile(0.9)
    exact = float(z.norm(dim=1).mean() / 15 / steep)
    assert step == pytest.approx(exact, rel=0.36)  # one digit: 0.015 is 0.02
    assert float(f"{step:.0e}") == step


def test_flat_weights_have_no_steep_place() -> None:
    assert longest_step(ImportanceNetwork(6), Prior("normal", 6), seed=1) > 1
