"""The MNIST-family CNN generator (Tanielian's thesis, table A.3): 28x28, one channel or several."""

from __future__ import annotations

import torch
from torch import nn

from models.mlp import LEAKY_SLOPE, initialise

FIRST_SIDE = 7


class Cnn28Generator(nn.Module):
    """Latents [n, latent_dim] -> images [n, image_channels, 28, 28] in [-1, 1].

    The table leaves the activation after the fully connected layer blank; without one that layer and
    the first convolution would be a single linear map, so ours is LeakyReLU like all the others.

    ``norm`` puts batch normalisation before each activation. It is for training only: without it the tanh
    saturates within 50 steps at the background's value and never recovers. ``folded`` then gives the
    table's own network with the same outputs.
    """

    def __init__(
        self,
        latent_dim: int = 100,
        channels: tuple[int, int, int, int] = (128, 64, 32, 16),
        norm: bool = False,
        image_channels: int = 1,
    ) -> None:
        super().__init__()
        self.latent_dim, self.channels, self.norm, self.image_channels = latent_dim, channels, norm, image_channels
        c0, c1, c2, c3 = channels
        self.project = nn.Linear(latent_dim, c0 * FIRST_SIDE**2)
        self.body = nn.Sequential(
            *self._activate(c0),
            nn.Conv2d(c0, c1, 3, padding=1), *self._activate(c1),
            nn.Conv2d(c1, c1, 3, padding=1), *self._activate(c1),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(c1, c2, 3, padding=1), *self._activate(c2),
            nn.Conv2d(c2, c2, 3, padding=1), *self._activate(c2),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(c2, c3, 3, padding=1), *self._activate(c3),
            nn.Conv2d(c3, image_channels, 5, padding=2), nn.Tanh(),
        )  # fmt: skip
        initialise(self)

    def _activate(self, channels: int) -> list[nn.Module]:
        act = nn.LeakyReLU(LEAKY_SLOPE)
        return [nn.BatchNorm2d(channels), act] if self.norm else [act]

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        maps = self.project(z).view(-1, self.channels[0], FIRST_SIDE, FIRST_SIDE)
        images: torch.Tensor = self.body(maps.contiguous(memory_format=torch.channels_last))
        return images

    @torch.no_grad()
    def folded(self) -> Cnn28Generator:
        """The same function in eval mode, with each batch normalisation folded into the layer before it."""
        plain = Cnn28Generator(self.latent_dim, self.channels, image_channels=self.image_channels)
        ours: list[nn.Module] = [self.project, *self.body]
        theirs = [m for m in (plain.project, *plain.body) if isinstance(m, (nn.Linear, nn.Conv2d))]
        for index, target in zip(_parametric(ours), theirs, strict=True):
            source, following = ours[index], ours[index + 1]
            assert isinstance(source, (nn.Linear, nn.Conv2d)) and source.bias is not None and target.bias is not None
            scale, shift = torch.ones(1), torch.zeros(1)
            if isinstance(following, nn.BatchNorm2d):
                scale, shift = _affine(following)
                repeats = len(source.bias) // len(scale)  # the linear layer has 7x7 outputs a channel
                scale, shift = scale.repeat_interleave(repeats), shift.repeat_interleave(repeats)
            target.weight.copy_(source.weight * scale.view(-1, *(1,) * (source.weight.ndim - 1)))
            target.bias.copy_(source.bias * scale + shift)
        return plain.train(self.training)


def _parametric(layers: list[nn.Module]) -> list[int]:
    return [i for i, layer in enumerate(layers) if isinstance(layer, (nn.Linear, nn.Conv2d))]


def _affine(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """y = scale * x + shift of a batch normalisation in eval mode."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
