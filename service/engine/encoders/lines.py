"""ndjson: one JSON object a line, one line a sample, and a last one that says that this was all."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

import numpy as np

from service.engine.encoders.numbers import dump, each
from service.engine.encoders.png import write_pngs
from service.engine.portions import Facts, Portion, Summary, told


@dataclass
class LinesWriter:
    """``{"index", "latent", "weight"}`` with ``image`` (base64 PNG) or ``point`` where rows are decoded.

    ``weight`` is null without a w. The last line is ``{"summary": {...}}``: a text without it was cut off.
    """

    facts: Facts
    done: int = 0

    def start(self) -> bytes:
        return b""

    def add(self, portion: Portion) -> bytes:
        first = self.facts.offset + self.done
        self.done += portion.n
        weights = [b"null"] * portion.n if portion.weights is None else each(portion.weights)
        return b"".join(
            [
                b'{"index":%d,"latent":%b,"weight":%b%b}\n' % (index, latent, weight, row)
                for index, (latent, weight, row) in enumerate(
                    zip(each(portion.latents), weights, _decoded(portion), strict=True), first
                )
            ]
        )

    def finish(self, summary: Summary) -> bytes:
        return dump({"summary": told(self.facts, summary)}) + b"\n"


def _decoded(portion: Portion) -> list[bytes]:
    """The member of each line that holds its decoded row, or nothing."""
    if portion.rows is None:
        return [b""] * portion.n
    if portion.rows.ndim == 2:
        return [b',"point":' + point for point in each(portion.rows.astype(np.float32, copy=False))]
    pictures = write_pngs(portion.rows.astype(np.uint8, copy=False))
    return [b',"image":"' + b64encode(picture) + b'"' for picture in pictures]
