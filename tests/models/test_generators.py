"""Generators: shapes, ranges, and folded batch normalisation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.generators.cnn28 import Cnn28Generator
from models.generators.mlp import MlpGenerator

SMALL = (12, 8, 6, 4)


def latents(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("norm", [False, True])
@torch.no_grad()
def test_the_cnn_makes_images_in_minus_one_to_one(norm: bool) -> None:
    torch.manual_seed(0)
    images = Cnn28Generator(10, SMALL, norm)(latents(5, 10))
    assert images.shape == (5, 1, 28, 28)
    assert -1 <= float(images.min()) < float(images.max()) <= 1


def test_the_default_cnn_has_the_widths_of_the_table() -> None:
    layers = [m for m in Cnn28Generator().modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    widths = [(m.in_features, m.out_features) if isinstance(m, nn.Linear) else m.weight.shape[:2] for m in layers]
    conv = [(128, 64), (64, 64), (64, 32), (32, 32), (32, 16), (16, 1)]
    assert [tuple(w) for w in widths] == [(100, 7 * 7 * 128), *((b, a) for a, b in conv)]


def trained_like(seed: int = 0) -> Cnn28Generator:
    """A normalised generator whose running statistics and affine terms are nothing like their start."""
    torch.manual_seed(seed)
    generator = Cnn28Generator(10, SMALL, norm=True)
    for layer in generator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.2, 3.0)
            nn.init.normal_(layer.weight, mean=1.0, std=0.5)
            nn.init.normal_(layer.bias)
    return generator


@torch.no_grad()
def test_folding_keeps_every_image_and_drops_every_normalisation() -> None:
    generator = trained_like().eval()
    folded = generator.folded()
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert not folded.training
    z = latents(16, 10)
    images = generator(z)
    torch.testing.assert_close(folded(z), images, atol=1e-5, rtol=1e-5)
    assert images.std(dim=0).mean() > 0.01  # they do depend on the latent
    assert (images - Cnn28Generator(10, SMALL)(z)).abs().max() > 0.1


@torch.no_grad()
def test_a_generator_of_several_channels_keeps_them_when_it_is_folded() -> None:
    generator = Cnn28Generator(10, SMALL, norm=True, image_channels=3).eval()
    assert generator(latents(2, 10)).shape == (2, 3, 28, 28)
    assert generator.folded()(latents(2, 10)).shape == (2, 3, 28, 28)


@torch.no_grad()
def test_folding_a_generator_without_normalisation_copies_it() -> None:
    generator = Cnn28Generator(10, SMALL).eval()
    folded, z = generator.folded(), latents(4, 10)
    torch.testing.assert_close(folded(z), generator(z))
    generator.project.weight.zero_()
    assert folded.project.weight.any()


@torch.no_grad()
def test_each_image_depends_on_its_own_latent_alone() -> None:
    generator, z = Cnn28Generator(10, SMALL).eval(), latents(6, 10)
    torch.testing.assert_close(generator(z)[2:4], generator(z[2:4]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_mlp_makes_samples_of_the_stated_shape() -> None:
    assert MlpGenerator(2, (2,))(latents(5, 2)).shape == (5, 2)
    images = MlpGenerator(16, (1, 8, 8), hidden=(32,), tanh=True)(100 * latents(5, 16))
    assert images.shape == (5, 1, 8, 8)
    assert float(images.abs().max()) <= 1


@torch.no_grad()
def test_points_are_unbounded() -> None:
    torch.manual_seed(0)
    assert float(MlpGenerator(2, (2,))(100 * latents(50, 2)).abs().max()) > 1


def test_the_default_mlp_is_the_one_of_the_literature() -> None:
    """Tanaka 2019: 2-256-256-256-2."""
    shapes = [tuple(p.shape) for p in MlpGenerator(2, (2,)).parameters() if p.ndim == 2]
    assert shapes == [(256, 2), (256, 256), (256, 256), (2, 256)]
