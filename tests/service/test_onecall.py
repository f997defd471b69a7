"""A generator as one call: the same bytes, for any number of rows, or not used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from draws import draw
from tiny_bundles import BATCH
from torch import nn

from models.bundle import Bundle, load_bundle
from service.engine import onecall
from service.engine.decoding import decode
from service.engine.engine import Engine
from service.engine.onecall import one_call
from service.engine.warmup import probe_latents

Start = Callable[..., Engine]


class Instead(nn.Module):
    """``change`` of what the generator gives."""

    def __init__(self, generator: nn.Module, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.generator, self.change = generator, change

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.change(z, self.generator(z))


def with_generator(bundle: Bundle, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Bundle:
    networks = {**bundle.networks, "generator": Instead(bundle.generator, change)}
    return Bundle(bundle.manifest, networks, bundle.digest)


@pytest.fixture(params=["images", "points"])
def bundle(request: pytest.FixtureRequest, bundles: Path) -> Bundle:
    return load_bundle(bundles / request.param)


def is_traced(decoder: onecall.Decode) -> bool:
    return getattr(decoder, "__module__", None) == onecall.__name__


def test_it_gives_the_bytes_of_the_generator_for_any_number_of_rows(bundle: Bundle) -> None:
    probe = probe_latents(bundle, BATCH)
    run = one_call(bundle, probe)
    assert is_traced(run)
    for rows in range(1, BATCH + 1):
        latents = torch.randn(rows, bundle.prior.dim, generator=torch.Generator().manual_seed(rows))
        ours, theirs = run(latents), decode(bundle, latents)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_not_a_number_is_never_handed_out(bundle: Bundle) -> None:
    run = one_call(bundle, probe_latents(bundle, BATCH))
    assert is_traced(run)
    with pytest.raises(FloatingPointError, match="NaN"):
        run(torch.full((BATCH, bundle.prior.dim), float("nan")))


def depends_on_values(z: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    return samples if float(z.sum()) == float(z[:BATCH].sum()) and len(z) == BATCH else -samples


def draws_at_random(z: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    return samples + torch.rand(())


def cannot_be_traced(z: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    if torch.jit.is_tracing():
        raise RuntimeError("no\nthanks")
    return samples


@pytest.mark.parametrize("change", [depends_on_values, draws_at_random, cannot_be_traced])
def test_a_generator_that_a_trace_does_not_follow_is_run_as_it_is(
    bundle: Bundle, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> None:
    other = with_generator(bundle, change)
    run = one_call(other, probe_latents(bundle, BATCH))
    assert not is_traced(run)
    if change is not draws_at_random:
        latents = torch.randn(3, bundle.prior.dim, generator=torch.Generator().manual_seed(0))
        np.testing.assert_array_equal(run(latents), decode(other, latents))


def test_a_device_without_memory_says_so(bundle: Bundle) -> None:
    def no_memory(z: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        one_call(with_generator(bundle, no_memory), probe_latents(bundle, BATCH))


@pytest.mark.parametrize("model", ["images", "points"])
def test_an_engine_serves_the_same_bytes_with_it_and_without(start: Start, model: str) -> None:
    with_it, without = start(trace=True, default=model), start(default=model)
    assert is_traced(with_it.served(model).decoders[0])
    assert not is_traced(without.served(model).decoders[0])
    assert with_it.fingerprints == without.fingerprints
    ours, theirs = (draw(engine, 3 * BATCH + 1, "latentrs", seed=5) for engine in (with_it, without))
    np.testing.assert_array_equal(ours.rows, theirs.rows)
    np.testing.assert_array_equal(ours.latents, theirs.latents)
