"""A bundle in service: what the engine found out about it when it was loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch

from models.bundle import Bundle
from sampling.sampler import BlockSizes
from sampling.seeded import SEEDED_SIZES
from service.engine.rows import Pixels
from service.engine.scheduler import Lane

SAMPLED, LATENTS = "samples", "latents"


@dataclass(frozen=True, eq=False)
class Served:
    """``bundles``: one and the same, once on each device; ``decoders``: latents [k, d] there -> rows in memory.

    ``batch_rows``: rows of a generator call, and the canonical shape of seeded work.

    ``mixes``: a row of a canonical batch has the same bits in every slot, beside any neighbours, as measured at
    start; then seeded rows share batches with everybody's. Else sample i sits in slot i mod ``batch_rows`` among
    the rows of its own stream. ``decode_seconds``: of one row in a full batch, as measured at start, on the slowest
    device. ``fingerprint``: of seeded work. ``alike``: it is that of all devices; else the first does all seeded work.
    """

    bundles: tuple[Bundle, ...]
    decoders: tuple[Callable[[torch.Tensor], Pixels], ...]
    batch_rows: int
    proposal_block: int
    mixes: bool
    decode_seconds: float
    fingerprint: str
    alike: bool = True

    @property
    def bundle(self) -> Bundle:
        """The one on the first device."""
        return self.bundles[0]

    @property
    def blocks(self) -> BlockSizes:
        """Of streams that requests share."""
        return BlockSizes(self.proposal_block, self.batch_rows)

    @property
    def seeded_blocks(self) -> BlockSizes:
        """Of a seed's own stream: seeded bits depend on them."""
        return BlockSizes(SEEDED_SIZES.latents, self.batch_rows)

    @property
    def latent_bytes(self) -> int:
        """Of a latent and its weight, float32."""
        return 4 * (self.bundle.prior.dim + 1)

    @property
    def row_bytes(self) -> int:
        """Of a decoded row: a byte a value of an image, float32 of a point."""
        output = self.bundle.manifest.output
        return (1 if output.kind == "image" else 4) * prod(output.shape)

    def lane(self, decode: bool) -> Lane:
        """Of work that any request of this model may share."""
        kind = SAMPLED if decode else LATENTS
        return Lane((self.bundle.digest, kind), self.batch_rows if decode else self.proposal_block)

    @property
    def reproducibility(self) -> dict[str, object]:
        """What is published of how seeded bytes come about."""
        mode = "rows mix" if self.mixes else "own slots"
        return {"mode": mode, "batch_rows": self.batch_rows, "proposal_block": self.proposal_block}
