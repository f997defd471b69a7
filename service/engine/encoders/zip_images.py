"""A ZIP of numbered PNG images with a manifest, streamed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from service.engine.encoders.numbers import dump, each
from service.engine.encoders.png import write_pngs
from service.engine.encoders.zip_entries import ZipEntries
from service.engine.portions import Facts, Portion, Summary, told

MANIFEST = b"manifest.json"
# Digits of a name: those of the largest n, more where the offset needs them.
NAME_DIGITS = 6


@dataclass
class ZipWriter:
    """``000000.png``, ... by the sample's index; ``manifest.json``, the last entry, has each one's name and weight.

    What is kept until the end, names and weights, is some 120 bytes an image. Latents are not in it: they would have
    to be kept, too, and may be larger than the images; ``ndjson`` streams both.
    """

    facts: Facts
    entries: ZipEntries = field(default_factory=ZipEntries)
    listed: bytearray = field(default_factory=bytearray)

    def start(self) -> bytes:
        return b""

    def add(self, portion: Portion) -> bytes:
        assert portion.rows is not None
        first, digits = self.facts.offset + self.entries.count, self._digits()
        names = [b"%0*d.png" % (digits, index) for index in range(first, first + portion.n)]
        weights = [b"null"] * portion.n if portion.weights is None else each(portion.weights)
        for name, weight in zip(names, weights, strict=True):
            self.listed += b'%b\n{"name":"%b","weight":%b}' % (b"," if self.listed else b"", name, weight)
        pictures = write_pngs(portion.rows.astype(np.uint8, copy=False))
        return b"".join(map(self.entries.add, names, pictures))

    def finish(self, summary: Summary) -> bytes:
        head = dump(told(self.facts, summary))[:-1]
        manifest = b'%b,"images":[%b]}\n' % (head, bytes(self.listed))
        return self.entries.add(MANIFEST, manifest) + self.entries.finish()

    def _digits(self) -> int:
        return max(NAME_DIGITS, len(str(self.facts.offset + self.facts.n - 1)))
