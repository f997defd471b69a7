"""The formats by name: media type, what each may hold, how it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from models.bundle import Bundle
from service.engine.encoders.arrays import encode_npz, encode_safetensors
from service.engine.encoders.document import encode_json
from service.engine.encoders.limits import Limits, most_in_arrays, most_in_document, most_in_picture
from service.engine.encoders.lines import LinesWriter
from service.engine.encoders.npy import NpyWriter, npy_length
from service.engine.encoders.pictures import JPEG_SIDE, PNG_SIDE, WEBP_SIDE, encode_picture, write_jpeg, write_webp
from service.engine.encoders.png import COLOUR_TYPES, write_png
from service.engine.encoders.writer import Writer
from service.engine.encoders.zip_images import ZipWriter
from service.engine.portions import Facts, cut, facts_of, summary_of
from service.engine.rows import Rows

# What a format without a cap of its own may hold: more than anybody could ask for.
UNLIMITED = 2**63 - 1


@dataclass(frozen=True)
class Format:
    """Either ``encode``, of an answer held whole, and ``most``, its cap in rows; or a ``writer``, which streams.

    ``encode`` raises nothing for rows within the cap. ``length``: bytes of the whole stream, where facts decide them.
    ``decodes``: always; otherwise only where the decoded rows are asked for. ``channels`` of an image that it can hold
    (None: any); ``points``: whether it can hold points.
    """

    name: str
    media_type: str
    encode: Callable[[Rows], bytes] | None = None
    most: Callable[[Bundle, Limits, bool], int] | None = None
    writer: Callable[[Facts], Writer] | None = None
    length: Callable[[Facts], int] | None = None
    decodes: bool = True
    channels: frozenset[int] | None = None
    points: bool = True

    def refusal(self, bundle: Bundle, images: bool) -> str | None:
        """Why it cannot hold what ``bundle`` makes, or None. ``images``: the decoded rows are asked for."""
        output = bundle.manifest.output
        if output.kind == "points":
            return None if self.points else f"{self.name} holds images, and {bundle.name} makes points"
        if self.channels is None or output.shape[0] in self.channels or not (self.decodes or images):
            return None
        allowed = ", ".join(map(str, sorted(self.channels)))
        return f"{self.name} holds images of {allowed} channels, and {bundle.name} makes some of {output.shape[0]}"


def _picture(name: str, write: Callable[..., bytes], side: int, channels: frozenset[int]) -> Format:
    encode, most = partial(encode_picture, write), partial(most_in_picture, side)
    return Format(name, f"image/{name}", encode=encode, most=most, channels=channels)


PNG_CHANNELS = frozenset(COLOUR_TYPES)
FORMATS = {
    fmt.name: fmt
    for fmt in (
        _picture("png", write_png, PNG_SIDE, PNG_CHANNELS),
        _picture("jpeg", write_jpeg, JPEG_SIDE, frozenset({1, 3})),
        _picture("webp", write_webp, WEBP_SIDE, frozenset({1, 3, 4})),
        Format("zip", "application/zip", writer=ZipWriter, channels=PNG_CHANNELS, points=False),
        Format("npy", "application/x-npy", writer=NpyWriter, length=npy_length),
        Format("npz", "application/x-npz", encode=encode_npz, most=most_in_arrays),
        Format("safetensors", "application/x-safetensors", encode=encode_safetensors, most=most_in_arrays),
        Format(
            "json", "application/json", encode=encode_json, most=most_in_document, decodes=False, channels=PNG_CHANNELS
        ),
        Format("ndjson", "application/x-ndjson", writer=LinesWriter, decodes=False, channels=PNG_CHANNELS),
    )
}
MEDIA_TYPES = {fmt.media_type: fmt.name for fmt in FORMATS.values()}


def usable_formats(bundle: Bundle, images: bool = False) -> dict[str, Format]:
    """Those that can hold what ``bundle`` makes; ``images`` as for ``refusal``."""
    return {name: fmt for name, fmt in FORMATS.items() if fmt.refusal(bundle, images) is None}


def largest(format_name: str, bundle: Bundle, limits: Limits, images: bool) -> int:
    """The most rows that one answer of this format may hold."""
    most = FORMATS[format_name].most
    return UNLIMITED if most is None else most(bundle, limits, images)


def pieces(fmt: Format, rows: Rows) -> Iterator[bytes]:
    """An answer that lies ready, as the bytes of ``fmt``, in order."""
    if fmt.encode is not None:
        yield fmt.encode(rows)
    if fmt.writer is not None:
        writer = fmt.writer(facts_of(rows))
        yield writer.start()
        yield from map(writer.add, cut(rows))
        yield writer.finish(summary_of(rows))
