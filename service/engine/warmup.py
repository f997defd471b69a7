"""What is measured of a bundle before it takes work: its batch, its speed, whether slots matter, what its bits are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from models.bundle import Bundle
from sampling.methods import bind
from sampling.randomness import BlockRandomness
from sampling.sampler import BlockSizes
from service.engine.devices import device_facts
from service.engine.fingerprint import fingerprint
from service.engine.methods import available_methods
from service.engine.onecall import as_it_is, one_call, seconds_of
from service.engine.options import EngineOptions
from service.engine.rows import Pixels
from service.engine.served import Served
from service.engine.sizing import rows_for
from service.engine.supply import SeededSupply

PROBE_SEED = 0
PROBED = ("prior", "latentrs")


def warm_up(bundles: Sequence[Bundle], options: EngineOptions, environment: dict[str, str | int]) -> Served:
    """Put a bundle, that lies on each device, into service.

    The first call of a shape pays for kernels and memory: here, not in a request.
    """
    batch = min(rows_for(bundle, options.batch_rows) for bundle in bundles)
    latents = [probe_latents(bundle, batch) for bundle in bundles]
    mixes = all(map(rows_mix, bundles, latents))
    decoders = tuple(map(one_call if options.trace else as_it_is, bundles, latents))
    seconds = max(map(seconds_of, decoders, latents)) / batch
    served = Served(tuple(bundles), decoders, batch, options.proposal_block, mixes, seconds, fingerprint="")
    prints = [
        fingerprint(
            {**environment, **device_facts(bundle.device), "batch_rows": batch, "mixes": mixes},
            bundle,
            probe_bits(bundle, decoder(rows), served.seeded_blocks),
        )
        for bundle, decoder, rows in zip(bundles, decoders, latents, strict=True)
    ]
    return replace(served, fingerprint=prints[0], alike=len(set(prints)) == 1)


@torch.inference_mode()
def fits(served: Served) -> bool:
    """Whether there is memory now for its largest batch and its largest block, on each device."""
    try:
        for bundle, decoder in zip(served.bundles, served.decoders, strict=True):
            decoder(probe_latents(bundle, served.batch_rows))
            if bundle.importance is not None:
                bundle.importance(probe_latents(bundle, served.proposal_block))
    except Exception:  # noqa: BLE001 - whatever it is, it had better stay as it is
        return False
    return True


def probe_latents(bundle: Bundle, rows: int) -> torch.Tensor:
    """The same [rows, d] at every start."""
    generator = np.random.Generator(np.random.Philox(PROBE_SEED))
    return bundle.prior.draw(BlockRandomness(generator, rows)).to(bundle.device)


@torch.inference_mode()
def rows_mix(bundle: Bundle, latents: torch.Tensor) -> bool:
    """Whether a row's bits are the same in every slot of the canonical batch and beside any neighbours.

    Every row is decoded in every slot, and once among neighbours of another kind (zeros, as padding is).
    """
    rows = len(latents)
    expected = bundle.generator(latents)
    for shift in {1, rows // 2, rows - 1} - {0}:
        if not torch.equal(bundle.generator(latents.roll(shift, 0)).roll(-shift, 0), expected):
            return False
    for keep in {0, rows // 2, rows - 1}:
        alone = torch.zeros_like(latents)
        alone[keep] = latents[keep]
        if not torch.equal(bundle.generator(alone)[keep], expected[keep]):
            return False
    return True


def probe_bits(bundle: Bundle, rows: Pixels, sizes: BlockSizes) -> str:
    """Digest of the first canonical work of a fixed seed: a block of ``PROBED``; ``rows`` of one decoded batch.

    It measures what this machine and these libraries make of the same code. Only methods whose block is one call of w
    are run, a few milliseconds each; one that decodes or climbs takes up to seconds for a block, which every start
    would pay for every bundle. That a change of any method changes the fingerprint is the ``code_digest``'s part: a
    version number of the streams' laws would have to be raised by hand, and a forgotten one lets an old ETag
    stand for new bytes; the source cannot be forgotten, and a needless change costs caches one refill.
    """
    digest = hashlib.sha256(rows.tobytes())
    for method in PROBED:
        if method not in available_methods(bundle):
            continue
        supply = SeededSupply(bundle, bind(bundle, method, sizes=sizes), PROBE_SEED, first=0)
        supply.propose()
        if not supply.ready:
            continue
        take = supply.take(supply.ready)
        digest.update(take.latents.cpu().numpy().tobytes())
        if take.weights is not None:
            digest.update(take.weights.cpu().numpy().tobytes())
    return digest.hexdigest()
