"""Which format an answer has: ``format=`` first, else the Accept header, else png."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from models.bundle import Bundle
from service.engine.encoders.formats import FORMATS, Format, usable_formats
from service.http.problems import ProblemError

# Clients send the same few headers; a longer one is not worth its memory.
MAX_REMEMBERED, MAX_ACCEPT = 256, 200


def choose_format(name: str | None, accept: str | None, bundle: Bundle, images: bool) -> Format:
    """One that can hold what ``bundle`` makes; ``images``: the decoded rows are asked for.

    Raises ProblemError (406) that lists those that would do.
    """
    if name in FORMATS and FORMATS[name].refusal(bundle, images) is None:
        return FORMATS[name]
    usable = usable_formats(bundle, images)
    if name is None:
        best = best_format(accept or "*/*", usable)
        if best is None:
            types = ", ".join(fmt.media_type for fmt in usable.values())
            raise ProblemError("not_acceptable", f"None of {accept!r} would do for {bundle.name}; {types} would.")
        return best
    refusal = FORMATS[name].refusal(bundle, images) if name in FORMATS else f"there is no format {name!r}"
    assert refusal is not None
    raise ProblemError("not_acceptable", f"{refusal[0].upper()}{refusal[1:]}; {', '.join(usable)} would do.")


def best_format(accept: str, formats: Mapping[str, Format]) -> Format | None:
    """The format with the highest quality; among equals the first of ``formats`` (RFC 9110, section 12.5.1)."""
    best = best_type(accept, tuple(fmt.media_type for fmt in formats.values()))
    return next((fmt for fmt in formats.values() if fmt.media_type == best), None)


def best_type(accept: str, media_types: tuple[str, ...]) -> str | None:
    """The media type with the highest quality, among equals the first; None where none is accepted."""
    return (_remembered if len(accept) <= MAX_ACCEPT else _best_type)(accept, media_types)


def _best_type(accept: str, media_types: tuple[str, ...]) -> str | None:
    ranges = [_parse_range(part) for part in accept.split(",") if part.strip()]
    best = max(media_types, key=lambda media_type: _quality(media_type, ranges))
    return best if _quality(best, ranges) > 0 else None


_remembered = lru_cache(MAX_REMEMBERED)(_best_type)


def _parse_range(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return media_range, min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                return media_range, 0.0
    return media_range, 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The quality of the most specific range that matches."""
    for wanted in (media_type, media_type.split("/", maxsplit=1)[0] + "/*", "*/*"):
        matching = [quality for media_range, quality in ranges if media_range == wanted]
        if matching:
            return max(matching)
    return 0.0
