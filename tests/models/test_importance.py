"""The importance network: flat at the start, never negative, capped where its head says so."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from models.importance import Head, ImportanceNetwork, flat_score


def latents(n: int = 200, dim: int = 5) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(0))


def scrambled(head: Head, cap: float = 3.0) -> ImportanceNetwork:
    """A network with a wide, uneven w."""
    torch.manual_seed(0)
    network = ImportanceNetwork(5, hidden=(16,), head=head, cap=cap)
    output = network.body[-1]
    assert isinstance(output, nn.Linear)
    nn.init.normal_(output.weight, std=30.0)
    return network


@pytest.mark.parametrize("head", get_args(Head))
@pytest.mark.parametrize("cap", [1.5, 3.0, 10.0])
def test_at_the_start_every_weight_is_one(head: Head, cap: float) -> None:
    weights = ImportanceNetwork(5, head=head, cap=cap)(latents())
    assert weights.shape == (200,)
    torch.testing.assert_close(weights, torch.ones(200), atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_bounded_head_never_passes_its_cap_and_comes_close_to_both_ends() -> None:
    weights = scrambled("bounded")(latents())
    assert 0 <= float(weights.min()) < 0.01 and 2.99 < float(weights.max()) <= 3.0


@torch.no_grad()
def test_the_relu_head_is_never_negative_and_may_pass_its_cap() -> None:
    weights = scrambled("relu")(latents())
    assert float(weights.min()) == 0 and float(weights.max()) > 3.0


@pytest.mark.parametrize("head", get_args(Head))
@torch.no_grad()
def test_the_weight_never_falls_as_the_score_grows(head: Head) -> None:
    network = scrambled(head)
    order = network.score(latents()).argsort()
    assert (network(latents())[order].diff() >= 0).all()


@pytest.mark.parametrize("head", get_args(Head))
def test_the_start_can_be_learned_from(head: Head) -> None:
    """A zeroed output layer still has a gradient, and after one step w is no longer flat."""
    network = ImportanceNetwork(5, hidden=(16,), head=head)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    (network(latents()) * latents()[:, 0]).mean().backward()
    optimizer.step()
    assert float(network(latents()).std().detach()) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("head", get_args(Head))
def test_log_w_is_the_logarithm_of_w_and_survives_where_w_underflows(head: Head) -> None:
    network = scrambled(head)
    scores = network.score(latents())
    weights = network(latents())
    assert torch.equal(network.weigh(scores), weights)
    torch.testing.assert_close(network.log_weigh(scores.double()), network.weigh(scores.double()).log())
    deep = float(network.log_weigh(torch.tensor(-200.0)))
    assert deep == (pytest.approx(-200 + torch.tensor(3.0).log().item()) if head == "bounded" else float("-inf"))


def test_the_flat_score_is_where_the_head_gives_one() -> None:
    assert 4.0 * torch.sigmoid(torch.tensor(flat_score("bounded", 4.0))) == pytest.approx(1.0)
    assert flat_score("relu", 4.0) == 1.0


def test_the_hidden_layers_are_as_told() -> None:
    slopes = {
        m.negative_slope for m in ImportanceNetwork(5, negative_slope=0.0).modules() if isinstance(m, nn.LeakyReLU)
    }
    widths = [m.out_features for m in ImportanceNetwork(5).modules() if isinstance(m, nn.Linear)]
    assert slopes == {0.0} and widths == [400, 400, 400, 400, 1]


@torch.no_grad()
def test_smooth_layers_are_as_told_and_written_down() -> None:
    smooth, angular = (ImportanceNetwork(5, hidden=(16, 8), activation=kind) for kind in ("silu", "leaky_relu"))
    assert [type(m) for m in smooth.body] == [nn.Linear, nn.SiLU, nn.Linear, nn.SiLU, nn.Linear]
    assert (smooth.config["activation"], angular.config["activation"]) == ("silu", "leaky_relu")
    again = ImportanceNetwork(**smooth.config)
    nn.init.normal_(again.body[-1].weight, generator=torch.Generator().manual_seed(1))
    smooth.load_state_dict(again.state_dict())
    assert torch.equal(smooth(latents()), again(latents()))
    angular.load_state_dict(again.state_dict())
    assert not torch.equal(angular(latents()), again(latents()))


def test_a_network_that_names_no_activation_has_the_published_one() -> None:
    """As bundles of before there was a choice."""
    config = {name: value for name, value in ImportanceNetwork(5).config.items() if name != "activation"}
    assert isinstance(ImportanceNetwork(**config).body[1], nn.LeakyReLU)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown activation 'relu6'; known: leaky_relu, silu"):
        ImportanceNetwork(5, activation="relu6")  # type: ignore[arg-type]


def test_an_unknown_head_and_a_cap_that_allows_no_mean_of_one_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown head 'tanh'; known: bounded, relu"):
        ImportanceNetwork(5, head="tanh")  # type: ignore[arg-type]
    for cap in (1.0, 0.5, float("nan")):
        with pytest.raises(ValueError, match=r"cap must be above 1 \(weights have mean 1\)"):
            ImportanceNetwork(5, cap=cap)


@pytest.mark.parametrize("head", get_args(Head))
def test_with_frequencies_too_every_weight_is_one_at_the_start(head: Head) -> None:
    torch.testing.assert_close(
        ImportanceNetwork(5, head=head, frequencies=3)(latents()), torch.ones(200), atol=1e-6, rtol=0
    )


@torch.no_grad()
def test_the_mlp_sees_the_latent_and_its_sines_and_cosines_at_half_pi_and_its_doublings() -> None:
    network = ImportanceNetwork(2, hidden=(), frequencies=3)
    z = torch.tensor([[0.3, -0.7]])
    waves = torch.tensor([torch.pi / 2, torch.pi, 2 * torch.pi])
    angles = torch.cat([0.3 * waves, -0.7 * waves])
    seen = torch.cat([z[0], angles.sin(), angles.cos()])
    output = network.body[-1]
    assert isinstance(output, nn.Linear) and output.in_features == len(seen) == 2 * (1 + 2 * 3)
    nn.init.normal_(output.weight, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network.score(z), output.weight @ seen + output.bias)


def test_frequencies_let_few_coordinates_learn_narrow_stripes() -> None:
    """Stripes of a width of 0.1: the same MLP without sines and cosines does not get near them in as many steps."""
    z = torch.rand(2_000, 2, generator=torch.Generator().manual_seed(2)) * 2 - 1
    stripes = ((z[:, 0] * 10).floor() % 2 == 0).float()

    def error(frequencies: int) -> float:
        torch.manual_seed(0)
        network = ImportanceNetwork(2, hidden=(64, 64), cap=2.0, frequencies=frequencies)
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(150):
            loss = nn.functional.binary_cross_entropy_with_logits(network.score(z), stripes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert error(5) < 0.35
    assert error(0) > 0.6
