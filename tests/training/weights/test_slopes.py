"""Slopes of a target by the latent: exact where a formula is known, shortened, kept; and what they teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.importance import ImportanceNetwork
from models.priors import Prior
from training.data.dataset import Dataset
from training.errors import TrainingRefused
from training.weights.config import LeastSquaresConfig
from training.weights.least_squares import least_squares_objective, least_squares_ratio
from training.weights.problem import Pool, Problem
from training.weights.slopes import Slopes, Target
from training.weights.targets import fit_of

DIM = 3
CPU = torch.device("cpu")


class Doubled(nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return 2 * z


class Rounded(nn.Module):
    """As a feature network that reads whole numbers of a pixel."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z.detach().round()


def problem(generator: nn.Module | None = None, features: nn.Module | None = None, dim: int = DIM) -> Problem:
    real = Dataset("rows", torch.randn(300, dim, generator=torch.Generator().manual_seed(0)), None)
    return Problem(Prior("normal", dim), generator or Doubled(), features, real, CPU)


def rows(count: int, seed: int = 1, dim: int = DIM) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def squares(features: torch.Tensor) -> torch.Tensor:
    return features.square().sum(1)


def slopes_of(where: Path, target: Target = squares, steepest: float = 1e3, made: str = "squares") -> torch.Tensor:
    return Slopes(problem(), 0, where / "slopes.safetensors")(target, rows(600), 3.0, steepest, made)


def test_they_are_those_of_the_target_through_the_generator_where_it_is_not_clipped(tmp_path: Path) -> None:
    """|2 z|^2 has the slope 8 z."""
    z = rows(600)
    inside = squares(2 * z) < 3.0
    assert 20 < int(inside.sum()) < 580
    torch.testing.assert_close(slopes_of(tmp_path), 8 * z * inside[:, None])


def test_long_ones_are_shortened_to_the_steepest_and_keep_their_direction(tmp_path: Path) -> None:
    whole, found = slopes_of(tmp_path), slopes_of(tmp_path, steepest=2.0)
    length, before = found.norm(dim=1), whole.norm(dim=1)
    torch.testing.assert_close(length, before.clamp(max=2.0))
    torch.testing.assert_close(found * before[:, None], whole * length[:, None])


def test_they_are_made_once_for_the_same_problem_and_target(tmp_path: Path) -> None:
    def never(features: torch.Tensor) -> torch.Tensor:
        raise AssertionError("asked again")

    first = slopes_of(tmp_path)
    torch.testing.assert_close(slopes_of(tmp_path, never), first)
    assert not torch.equal(slopes_of(tmp_path, lambda f: f.sum(1).abs(), made="another"), first)


def test_a_damaged_file_of_them_is_made_again(tmp_path: Path) -> None:
    first = slopes_of(tmp_path)
    (tmp_path / "slopes.safetensors").write_bytes(b"not one")
    torch.testing.assert_close(slopes_of(tmp_path), first)


def test_networks_without_gradients_are_refused(tmp_path: Path) -> None:
    slopes = Slopes(problem(features=Rounded()), 0, tmp_path / "slopes.safetensors")
    with pytest.raises(TrainingRefused, match="slope_weight to 0"):
        slopes(lambda features: (features * 0.1).sum(1), rows(5), 3.0, 2.0, "rounded")


def test_gradients_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingRefused, match="not finite: set slope_weight to 0"):
        slopes_of(tmp_path, lambda features: (features.sum(1) * 0).sqrt())


def test_the_least_squares_objective_has_those_of_its_clipped_ratio(tmp_path: Path) -> None:
    latents, real = rows(500), rows(400, 2) * 0.5
    pool, network = Pool(latents, 2 * latents), ImportanceNetwork(DIM, (4,))
    config = LeastSquaresConfig(functions=50, slope_weight=0.2, steepest=1.5)
    slopes = Slopes(problem(), 0, tmp_path / "slopes.safetensors")
    targets = least_squares_objective(config, pool, real, network, 0, slopes).targets
    ratio, step = least_squares_ratio(config, pool.features, real, 0), 1e-2
    moved = torch.eye(DIM) * step
    up, down = (ratio.of(2 * (latents[:, None] + way * moved).flatten(0, 1)).clamp(0, 3) for way in (1, -1))
    about = ((up - down) / (2 * step)).unflatten(0, (-1, DIM))
    gentle = about.norm(dim=1) < 1.4
    assert targets.slopes is not None and targets.slope_weight == 0.2 and int(gentle.sum()) > 100
    far = (targets.slopes - about).norm(dim=1)[gentle]
    assert float(far.median()) < 0.01 and float(targets.slopes.norm(dim=1).max()) < 1.5 + 1e-5


def test_few_latents_with_slopes_teach_w_more_than_without(tmp_path: Path) -> None:
    """The same 400 latents in 20 dimensions and the same steps; judged on others."""
    dim, cap = 20, 3.0
    latents, others = rows(400, 3, dim), rows(4_000, 4, dim)

    def ratio(z: torch.Tensor) -> torch.Tensor:
        return (z[:, 0] * z[:, 1]).exp()

    torch.manual_seed(0)
    network = ImportanceNetwork(dim, (32, 32), activation="silu")
    start = {name: value.clone() for name, value in network.state_dict().items()}
    plain = fit_of("ratio", ratio(latents).clamp(0, cap), Pool(latents, latents), network, batch=400)
    found = Slopes(problem(nn.Identity(), dim=dim), 0, tmp_path / "file")(ratio, latents, cap, 2.0, "ratio")
    sloped = replace(plain, targets=replace(plain.targets, slopes=found, slope_weight=0.1))
    errors = []
    for objective in (plain, sloped):
        network.load_state_dict(start)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for step in range(200):
            optimizer.zero_grad()
            objective.loss(network, torch.Generator().manual_seed(step)).backward()
            optimizer.step()
        with torch.no_grad():
            errors.append(float((network(others) - ratio(others).clamp(0, cap)).square().mean()))
    assert errors[1] < 0.5 * errors[0]
