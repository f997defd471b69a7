"""Steps of a latent: the tangent projection keeps its norm, the printed one does not, the cube has walls."""

from __future__ import annotations

from math import sqrt

import pytest
import torch

from models.priors import Prior
from sampling.projection import Projection, norm_of, project, resolve_projection, step_along
from sampling.streams import BlockStream

NORMAL, UNIFORM = Prior("normal", 8), Prior("uniform", 8)


def start(prior: Prior, n: int = 200, seed: int = 0) -> torch.Tensor:
    return prior.draw(BlockStream(seed, n).next())


def test_tangent_is_orthogonal_to_the_latent_and_printed_flips_the_radial_part() -> None:
    z, g = start(NORMAL, seed=1), start(NORMAL, seed=2)
    radial = (g * z).sum(dim=1)
    tangent, printed = project(g, z, "tangent"), project(g, z, "printed")
    assert ((tangent * z).sum(dim=1).abs() < 1e-5 * g.norm(dim=1) * z.norm(dim=1)).all()
    torch.testing.assert_close((printed * z).sum(dim=1), radial * (1 - z.square().sum(dim=1) / 8**0.5))
    unit = z / z.norm(dim=1, keepdim=True)
    across = g - (g * unit).sum(dim=1, keepdim=True) * unit
    torch.testing.assert_close(tangent, across)
    torch.testing.assert_close(printed - (printed * unit).sum(dim=1, keepdim=True) * unit, across)
    assert torch.equal(project(g, z, "none"), g)


@pytest.mark.parametrize("projection", ["tangent", "printed"])
def test_a_projection_of_a_uniform_prior_is_refused(projection: Projection) -> None:
    with pytest.raises(ValueError, match=f"projection={projection} is for normal priors"):
        resolve_projection(UNIFORM, projection)
    assert resolve_projection(UNIFORM, "none") == resolve_projection(UNIFORM, None) == "none"


def test_a_tangent_step_keeps_the_given_norm_and_the_printed_one_turns_the_radial_part_around() -> None:
    prior = Prior("normal", 64)
    z = start(prior)
    uphill = start(prior, seed=1) + z
    norms = {
        kind: (norm_of(step_along(prior, z, uphill, 0.05, kind, norm_of(z))) / norm_of(z)).squeeze(1)  # type: ignore[arg-type]
        for kind in ("tangent", "printed", "none")
    }
    torch.testing.assert_close(norms["tangent"], torch.ones(200))
    # To first order: the radial part is 1, of which the printed formula leaves 1 - sqrt(d).
    assert abs(norms["none"].median() - 1 - 0.05) < 0.01
    assert abs(norms["printed"].median() - 1 - 0.05 * (1 - sqrt(64))) < 0.06
    doubled = step_along(prior, z, uphill, 0.05, "tangent", 2 * norm_of(z))
    torch.testing.assert_close(norm_of(doubled), 2 * norm_of(z))


def test_a_uniform_latent_stays_in_its_cube_and_nothing_is_projected() -> None:
    z = start(UNIFORM)
    direction = torch.linspace(-9, 9, 8).expand(200, 8)
    moved = step_along(UNIFORM, z, direction, 0.1, "none", norm_of(z))
    assert torch.equal(moved, (z + 0.1 * direction).clamp(-1, 1))
    assert moved.abs().max() == 1.0


@pytest.mark.parametrize("projection", ["tangent", "printed", "none"])
def test_a_step_that_leaves_the_numbers_is_not_taken_and_the_other_rows_are(projection: Projection) -> None:
    z = start(NORMAL)
    direction = start(NORMAL, seed=1)
    direction[3] = torch.nan
    direction[5] = 3e38
    moved = step_along(NORMAL, z, direction, 10.0, projection, norm_of(z))
    changed = (moved != z).any(dim=1)
    assert moved.isfinite().all()
    assert (~changed).nonzero().squeeze(1).tolist() == [3, 5]
