"""Which format an answer has: ``format=`` first, else the Accept header, else png."""

from __future__ import annotations

from service.engine.encoders.formats import FORMATS, MEDIA_TYPES, Format
from service.http.problems import ProblemError

DEFAULT_FORMAT = "png"


def choose_format(name: str | None, accept: str | None) -> Format:
    """Raises ProblemError (406) that lists the formats."""
    if name is not None:
        if name not in FORMATS:
            raise ProblemError("not_acceptable", f"There is no format {name!r}; the formats are {', '.join(FORMATS)}.")
        return FORMATS[name]
    best = best_format(accept) if accept else DEFAULT_FORMAT
    if best is None:
        raise ProblemError("not_acceptable", f"None of {accept!r} is one of ours: {', '.join(MEDIA_TYPES)}.")
    return FORMATS[best]


def best_format(accept: str) -> str | None:
    """The format with the highest quality; among equals the default, then the order of FORMATS (RFC 9110)."""
    ranges = [_parse_range(part) for part in accept.split(",") if part.strip()]
    ranked = {name: _quality(media_type, ranges) for media_type, name in MEDIA_TYPES.items()}
    best = max(ranked, key=lambda name: ranked[name])
    return best if ranked[best] > 0 else None


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
