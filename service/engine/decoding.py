"""The generator, and its output as the bytes that leave the server."""

from __future__ import annotations

import logging
from math import ceil, inf
from time import perf_counter
from typing import Protocol

import torch

from models.bundle import Bundle
from models.pixels import to_uint8
from service.engine.cuda import fetched
from service.engine.errors import OutOfMemory
from service.engine.rows import Pixels, joined
from service.engine.served import Served
from service.engine.supply import SupplyFailed
from service.metrics.registry import Metrics

logger = logging.getLogger("winnow.engine")
# What torch says where it has no exception of its own for it: on the CPU, and out of a trace.
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
# For smaller batches a bundle is warmed up anew, seconds in which nobody is served: where none fits, that is not done
# for each request; they are tried all the same.
REST_SECONDS = 60


@torch.inference_mode()
def decode(bundle: Bundle, latents: torch.Tensor) -> Pixels:
    """Latents [k, d] -> images uint8 [k, H, W, C] or points float32 [k, D].

    Raises FloatingPointError for output that is not finite, and whatever the generator raises.
    """
    samples = bundle.generator(latents)
    return rows_of(torch.isfinite(samples).all(), output_of(bundle, samples))


@torch.inference_mode()
def to_rows(bundle: Bundle, samples: torch.Tensor) -> Pixels:
    """The generator's output [k, ...], finite, -> images uint8 [k, H, W, C] or points float32 [k, D]."""
    (rows,) = fetched((output_of(bundle, samples),))
    pixels: Pixels = rows.numpy()
    return pixels


def output_of(bundle: Bundle, samples: torch.Tensor) -> torch.Tensor:
    """The same on the device."""
    if bundle.manifest.output.kind == "points":
        return samples.to(torch.float32)
    assert bundle.manifest.output.range is not None
    low, high = bundle.manifest.output.range
    return to_uint8(samples, low, high).permute(0, 2, 3, 1).contiguous()


def rows_of(finite: torch.Tensor, rows: torch.Tensor) -> Pixels:
    """``rows`` in the machine's memory. Raises FloatingPointError unless the generator's output was ``finite`` []."""
    finite, rows = fetched((finite, rows))
    if not bool(finite):
        raise FloatingPointError("the generator gave NaN or infinite values")
    pixels: Pixels = rows.numpy()
    return pixels


class Sizes(Protocol):
    """Who decides how much of a bundle goes through a device at once (Shelf)."""

    def shrink(self, served: Served, rows: int) -> bool:
        """Batches of at most ``rows`` from now on. False where none fits."""
        ...

    def shorten(self, served: Served) -> None:
        """Blocks of half as many proposals from now on."""
        ...

    def regain(self) -> None:
        """The full size again, where it was given up long ago and fits by now."""
        ...


class Decoder:
    """``decode`` that survives a device without memory: with smaller batches, until the full one fits again.

    Bits depend on the shape of a batch, so a seeded request does not silently go on in another one: it is refused,
    and asked for again it has another fingerprint. Where no batch fits ``sizes`` is not asked again for REST_SECONDS.
    ``device``: its number.
    """

    def __init__(self, metrics: Metrics, sizes: Sizes, device: int = 0) -> None:
        self.sizes = sizes
        self._metrics, self._device = metrics, device
        # By digest and batch: a job may still hold the bundle in another size than it is served in by now.
        self._most: dict[tuple[str, int], int] = {}
        # When none fitted, by digest.
        self._unhelped: dict[str, float] = {}

    def most(self, served: Served) -> int:
        """Rows that fit at once, as far as is known."""
        return self._most.get((served.bundle.digest, served.batch_rows), served.batch_rows)

    def free(self, served: Served, latents: torch.Tensor) -> Pixels:
        """Latents [k, d] in as few batches as fit. Raises what the generator raises, OutOfMemory for a single row."""
        parts: list[Pixels] = []
        most = self.most(served)
        while (at := sum(map(len, parts))) < len(latents):
            piece = latents[at : at + most]
            try:
                parts.append(served.decoders[self._device](piece))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(served, len(piece))
                if len(piece) == 1:
                    raise self._hopeless(served, "a single row of ") from error
                most = ceil(len(piece) / 2)
        return joined(parts)

    def canonical(self, served: Served, latents: torch.Tensor) -> Pixels:
        """Latents [k, d] in one batch of exactly ``served.batch_rows`` rows, filled up with zeros.

        Raises what the generator raises, OutOfMemory.
        """
        missing = served.batch_rows - len(latents)
        if missing:
            latents = torch.cat([latents, latents.new_zeros(missing, latents.shape[1])])
        try:
            return served.decoders[self._device](latents)[: served.batch_rows - missing]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        raise self.out_of_memory(
            served,
            f"The device has no memory for {served.batch_rows} rows of {served.bundle.name} at once, and the bits of "
            "a seeded answer depend on that number; asked for again, it comes with another fingerprint.",
        )

    def out_of_memory(self, served: Served, said: str = "") -> OutOfMemory:
        """There was no memory for a batch of ``served``: smaller ones from now on where they fit, and what to say.

        ``said``: where they do.
        """
        if not self._shrink(served, served.batch_rows):
            return self._hopeless(served, "any batch of ")
        model = served.bundle.name
        return OutOfMemory(said or f"The device had no memory for {model}; batches are smaller now: ask again.")

    def no_block(self, served: Served, rows: int, seeded: bool) -> OutOfMemory:
        """There was no memory for w on a block of ``rows``: shorter ones from now on, and what to say.

        Batches, which are not to blame, stay as they are; so do the blocks of a seed, whose bits depend on them.
        """
        self._note(served, rows)
        if seeded or rows == 1:
            return self._hopeless(served, f"a block of {rows} proposals of ")
        self.sizes.shorten(served)
        model = served.bundle.name
        return OutOfMemory(f"The device had no memory for proposals of {model}; blocks are shorter now: ask again.")

    def forget(self, digest: str) -> None:
        """The bundle is served in another size, or loaded anew, or gone."""
        self._most = {key: rows for key, rows in self._most.items() if key[0] != digest}
        self._unhelped.pop(digest, None)

    def _shrink(self, served: Served, rows: int) -> bool:
        """``rows`` did not fit; whether half of them or fewer do. Where not even one does it is not the size, which
        stays as it is."""
        self._note(served, rows)
        digest, half = served.bundle.digest, rows // 2
        if not half or perf_counter() - self._unhelped.get(digest, -inf) < REST_SECONDS:
            return False
        self._unhelped[digest] = perf_counter()  # unless it turns out that they do
        if not self.sizes.shrink(served, half):
            return False
        self._unhelped.pop(digest, None)
        self._most[digest, served.batch_rows] = min(half, self.most(served))
        return True

    def _note(self, served: Served, rows: int) -> None:
        self._metrics.oom.inc()
        logger.error("out of memory", extra={"model": served.bundle.name, "rows": rows})

    def _hopeless(self, served: Served, what: str) -> OutOfMemory:
        said = f"The device has no memory for {what}{served.bundle.name}; ask again in {REST_SECONDS} s."
        return OutOfMemory(said, REST_SECONDS)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether a device had no room for what it was asked, by itself or in a block of a supply."""
    if isinstance(error, SupplyFailed):
        error = error.__cause__
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)
