"""The Jacobian's score against Jacobians written out."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.func import jacrev, vmap

from models.generators.cnn28 import Cnn28Generator
from models.generators.mlp import MlpGenerator
from models.pilot import Derivative
from sampling.draw import Cost
from sampling.jacobian import DIFFERENCE_STEP, draw_probes, jacobian_score, which_derivative

SMALL = (12, 8, 6, 4)
PROBES = 10


class OnceDifferentiable(torch.autograd.Function):
    """tanh whose backward pass has no derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (1 - x.tanh().square())


class OnceMlp(MlpGenerator):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = OnceDifferentiable.apply(super().forward(z))  # type: ignore[no-untyped-call]
        return rows


def made(kind: type[nn.Module], *arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(*arguments).eval().requires_grad_(False)


GENERATORS = {
    "points": made(MlpGenerator, 3, (2,), (16, 16)),
    "small images": made(MlpGenerator, 3, (1, 4, 4), (16, 16), True),
    "convolutions": made(Cnn28Generator, 3, SMALL),
}
LATENTS = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
V = draw_probes(PROBES, 3, 2)


@pytest.fixture(params=GENERATORS)
def generator(request: pytest.FixtureRequest) -> nn.Module:
    return GENERATORS[request.param]


def exact_score(generator: nn.Module, latents: torch.Tensor, probes: torch.Tensor) -> torch.Tensor:
    """From whole Jacobians: mean over probes of ||J v||^2."""
    jacobians = torch.stack([jacrev(lambda x: generator(x[None])[0].flatten())(z) for z in latents])
    return (jacobians @ probes.T).square().sum(1).mean(1)


def test_the_products_are_those_of_the_whole_jacobian_with_the_probes(generator: nn.Module) -> None:
    scored = jacobian_score(generator, LATENTS[:3], V, "exact")
    torch.testing.assert_close(scored.score, exact_score(generator, LATENTS[:3], V), rtol=1e-4, atol=1e-6)
    assert float(scored.score.std() / scored.score.mean()) > 0.01  # latents do differ


def test_finite_differences_agree(generator: nn.Module) -> None:
    exact, approximate = (jacobian_score(generator, LATENTS, V, d).score for d in ("exact", "difference"))
    torch.testing.assert_close(approximate, exact, rtol=0.02, atol=0)


def test_over_many_probes_the_score_tends_to_the_frobenius_norm() -> None:
    generator, count = GENERATORS["points"], 4_000
    jacobians = vmap(jacrev(lambda x: generator(x[None])[0]))(LATENTS)
    norms = jacobians.square().sum((1, 2))
    scores = jacobian_score(generator, LATENTS, draw_probes(count, 3, 0), "exact").score
    # ||J v||^2 has variance 2 ||J'J||^2 <= 2 ||J||^4
    assert ((scores / norms - 1).abs() < 4 * (2 / count) ** 0.5).all()


@torch.no_grad()
def test_the_samples_are_bit_for_bit_the_generators(generator: nn.Module) -> None:
    assert torch.equal(jacobian_score(generator, LATENTS, V, "exact").samples, generator(LATENTS))


@torch.no_grad()
def test_by_differences_they_are_so_in_a_call_of_that_shape(generator: nn.Module) -> None:
    """Bits of a convolution may depend on the rows of the call, so the call is repeated as it was."""
    samples = jacobian_score(generator, LATENTS, V, "difference").samples
    moved = (LATENTS + DIFFERENCE_STEP * V[:, None]).flatten(0, 1)
    assert torch.equal(samples, generator(torch.cat([LATENTS, moved]))[: len(LATENTS)])
    torch.testing.assert_close(samples, generator(LATENTS), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("derivative", ["exact", "difference"])
def test_the_generator_is_called_once(derivative: Derivative) -> None:
    generator, calls = made(MlpGenerator, 3, (2,), (4,)), []
    generator.register_forward_hook(lambda _, inputs, output: calls.append(len(inputs[0])))
    jacobian_score(generator, LATENTS, V, derivative)
    assert calls == [6 if derivative == "exact" else 6 * (PROBES + 1)]


@pytest.mark.parametrize(
    ("derivative", "cost"),
    [("exact", Cost(generator_rows=72, gradient_steps=66)), ("difference", Cost(generator_rows=66))],
)
def test_the_cost_counts_rows_and_tangents(derivative: Derivative, cost: Cost) -> None:
    assert jacobian_score(GENERATORS["points"], LATENTS, V, derivative).cost == cost


def test_the_probes_are_a_function_of_their_seed() -> None:
    assert torch.equal(draw_probes(10, 3, 5), draw_probes(10, 3, 5))
    assert not torch.equal(draw_probes(10, 3, 5), draw_probes(10, 3, 6))
    many = draw_probes(20_000, 2, 0)
    torch.testing.assert_close(many.T.cov(), torch.eye(2), atol=4 * (2 / 20_000) ** 0.5, rtol=0)


def test_a_generator_that_has_no_second_derivative_is_found_out_and_scored_by_differences() -> None:
    whole, lacking = GENERATORS["small images"], made(OnceMlp, 3, (1, 4, 4), (16, 16))
    assert which_derivative(whole, LATENTS[:1]) == "exact"
    assert which_derivative(lacking, LATENTS[:1]) == "difference"
    scores = jacobian_score(lacking, LATENTS, V, "difference").score
    torch.testing.assert_close(scores, jacobian_score(whole, LATENTS, V, "exact").score, rtol=0.02, atol=0)


def test_the_shipped_architectures_are_scored_exactly(generator: nn.Module) -> None:
    assert which_derivative(generator, LATENTS[:1]) == "exact"


def test_a_generator_that_fails_anyway_is_not_called_a_lack_of_derivatives() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        which_derivative(GENERATORS["points"], torch.zeros(1, 5))


def test_no_gradient_is_kept() -> None:
    generator = made(MlpGenerator, 3, (2,), (4,)).requires_grad_(True)
    for derivative in get_args(Derivative):
        scored = jacobian_score(generator, LATENTS, V, derivative)
        assert not scored.samples.requires_grad and not scored.score.requires_grad
    assert not LATENTS.requires_grad and all(p.grad is None for p in generator.parameters())


def test_the_callers_mode_does_not_matter() -> None:
    with torch.no_grad():
        inside = jacobian_score(GENERATORS["points"], LATENTS, V, "exact").score
    assert torch.equal(inside, jacobian_score(GENERATORS["points"], LATENTS, V, "exact").score)


def test_the_first_use_imports_nothing_in_the_middle_of_a_request() -> None:
    program = """
import sys, torch
from sampling.jacobian import exact_products
generator, latents = torch.nn.Linear(2, 3), torch.zeros(1, 2)
torch.autograd.grad(generator(latents.requires_grad_()).sum(), latents)
before = set(sys.modules)
exact_products(generator, latents, torch.ones(1, 2))
print(len(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "0"
