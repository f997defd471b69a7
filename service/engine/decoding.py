"""The generator, and its output as the bytes that leave the server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import ceil, inf
from time import perf_counter

import torch

from models.bundle import Bundle
from models.pixels import to_uint8
from service.engine.errors import OutOfMemory
from service.engine.rows import Pixels, joined
from service.engine.served import Served
from service.engine.supply import SupplyFailed
from service.metrics.registry import Metrics

logger = logging.getLogger("winnow.engine")
# What torch says where it has no exception of its own for it: on the CPU, and out of a trace.
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
# For smaller batches a bundle is warmed up anew, seconds in which nobody is served: where none fits, that is not done
# for each request; they are tried all the same.
REST_SECONDS = 60


@torch.inference_mode()
def decode(bundle: Bundle, latents: torch.Tensor) -> Pixels:
    """Latents [k, d] -> images uint8 [k, H, W, C] or points float32 [k, D].

    Raises FloatingPointError for output that is not finite, and whatever the generator raises.
    """
    samples = bundle.generator(latents)
    check_finite(torch.isfinite(samples).all())
    return to_rows(bundle, samples)


@torch.inference_mode()
def to_rows(bundle: Bundle, samples: torch.Tensor) -> Pixels:
    """The generator's output [k, ...], finite, -> images uint8 [k, H, W, C] or points float32 [k, D]."""
    rows: Pixels = output_of(bundle, samples).cpu().numpy()
    return rows


def output_of(bundle: Bundle, samples: torch.Tensor) -> torch.Tensor:
    """The same on the device."""
    if bundle.manifest.output.kind == "points":
        return samples.to(torch.float32)
    assert bundle.manifest.output.range is not None
    low, high = bundle.manifest.output.range
    return to_uint8(samples, low, high).permute(0, 2, 3, 1).contiguous()


def check_finite(finite: torch.Tensor) -> None:
    """Raises FloatingPointError unless the generator's output was."""
    if not bool(finite):
        raise FloatingPointError("the generator gave NaN or infinite values")


class Decoder:
    """``decode`` that survives a device without memory: with smaller batches, until the model is loaded anew.

    Bits depend on the shape of a batch, so a seeded request does not silently go on in another one: it is refused,
    and asked for again it has another fingerprint. ``shrunk`` is told the bundle and the rows that it may have,
    and says whether so many, or fewer, do fit; where none does it is not asked again for REST_SECONDS. ``device``: its
    number.
    """

    def __init__(self, metrics: Metrics, shrunk: Callable[[Served, int], bool], device: int = 0) -> None:
        self._metrics, self._shrunk, self._device = metrics, shrunk, device
        self._most: dict[str, int] = {}
        # When none fitted, by digest.
        self._unhelped: dict[str, float] = {}

    def most(self, served: Served) -> int:
        """Rows that fit at once, as far as is known."""
        return min(served.batch_rows, self._most.get(served.bundle.digest, served.batch_rows))

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

    def forget(self, digest: str) -> None:
        """The bundle is loaded anew, or gone."""
        self._most.pop(digest, None)
        self._unhelped.pop(digest, None)

    def _shrink(self, served: Served, rows: int) -> bool:
        """``rows`` did not fit; whether half of them or fewer do. Where not even one does it is not the size, which
        stays as it is."""
        self._metrics.oom.inc()
        logger.error("out of memory", extra={"model": served.bundle.name, "rows": rows})
        digest, half = served.bundle.digest, rows // 2
        if not half or perf_counter() - self._unhelped.get(digest, -inf) < REST_SECONDS:
            return False
        self._unhelped[digest] = perf_counter()  # unless it turns out that they do
        if not self._shrunk(served, half):
            return False
        self._unhelped.pop(digest, None)
        self._most[digest] = min(half, self._most.get(digest, half))
        return True

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
