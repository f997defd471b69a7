"""Bodies that hold latents: JSON or npy, of bounded size each and all together."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from tokenize import TokenError
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FailFast, ValidationError
from starlette.requests import Request

from service.engine.errors import Overloaded
from service.engine.memory import Lease
from service.http.problems import ProblemError, invalid
from service.http.state import Service

JSON = "application/json"
NPY = ("application/x-npy", "application/octet-stream")
MEDIA_TYPES = (JSON, *NPY)
LARGEST_LATENT = 1e6  # far beyond any prior, and no network overflows float32 on it
# A connection buffers as much before anybody reads, and who sends a few latents is never refused for others' many.
FREE_BYTES = 64 * 2**10
# Nobody knows how fast others send; a body of the largest size is read and parsed within about a second.
RETRY_SECONDS = 1


class LatentsBody(BaseModel):
    """``{"latents": [[0.1, ...], ...]}``: n rows of as many numbers as the model's latent has dimensions."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    # One complaint is enough: a body may hold a million numbers.
    latents: Annotated[list[Annotated[list[float], FailFast()]], FailFast()]


def latents_openapi() -> dict[str, Any]:
    """The request body in OpenAPI's words."""
    npy = {"schema": {"type": "string", "format": "binary", "description": "npy, float32 [n, d]"}}
    schema = LatentsBody.model_json_schema()
    return {"required": True, "content": {JSON: {"schema": schema}, **dict.fromkeys(NPY, npy)}}


async def read_latents(request: Request, service: Service, dim: int, most: int) -> NDArray[np.float32]:
    """Latents float32 [n, dim] with n from 1 to ``most``.

    Raises ProblemError: 415 for another content type, 413 for too many bytes, 503 where no memory is left for them,
    400 for what is neither JSON nor npy, 422 for what are no such latents.
    """
    parse = _parser(request)
    lease = _lease(request, service)
    try:
        body = await _read(request, service.settings.limits.body_bytes)
        # Not on the event loop: a body of the largest size takes a good part of a second.
        latents = await service.encoders.run(len(body), parse, body)
    finally:
        lease.release()
    rows, width = latents.shape
    if not 1 <= rows <= most:
        code = "too_many_samples" if rows else "invalid_parameters"
        raise invalid("latents", f"from 1 to {most} rows a request, not {rows}.", code)
    if width != dim:
        raise invalid("latents", f"this model's latents have {dim} numbers a row, not {width}.")
    usable = (np.abs(latents) <= LARGEST_LATENT).all(axis=1)  # False for NaN, too
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        raise invalid("latents", f"all numbers must lie within +-{LARGEST_LATENT:g}; those of row {row} do not.")
    return latents


def _parser(request: Request) -> Callable[[bytes], NDArray[np.float32]]:
    given = request.headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        said = f"not {given[:100]!r}" if given else "and this one has none"
        raise ProblemError(
            "unsupported_media_type", f"The Content-Type must be one of {', '.join(MEDIA_TYPES)}, {said}."
        )
    return parse_json if media_type == JSON else parse_npy


def counted(size: int) -> int:
    """What ``size`` bytes of a body, or of its latents, take of the memory that all answers share."""
    return size if size > FREE_BYTES else 0


def _lease(request: Request, service: Service) -> Lease:
    """The memory of a body that is about to be read. Raises ProblemError (413, 503)."""
    most = service.settings.limits.body_bytes
    given = request.headers.get("content-length", "")
    size = int(given) if given.isascii() and given.isdigit() and len(given) < 20 else most
    if size > most:
        raise _too_large(most)
    try:
        return service.engine.lease(counted(size))
    except Overloaded as error:
        raise ProblemError(
            "overloaded",
            f"No memory is left to read a body of {size} bytes; try again in {RETRY_SECONDS} s, or send fewer latents.",
            headers={"Retry-After": str(RETRY_SECONDS), "Connection": "close"},
        ) from error


async def _read(request: Request, most: int) -> bytes:
    """The body; as soon as it is known to be too long nothing more is kept."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        "body_too_large",
        f"A body holds at most {most} bytes; send the latents in several requests, or as npy (4 bytes a number).",
        headers={"Connection": "close"},
    )


def parse_json(body: bytes) -> NDArray[np.float32]:
    """``{"latents": [[...], ...]}`` -> float32 [n, width]; beyond float32 is infinite. Raises ProblemError."""
    try:
        rows = LatentsBody.model_validate_json(body).latents
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise ProblemError(
                "malformed", f"The body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}."
            ) from error
        where = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in first["loc"]) or "the body"
        raise invalid("latents", f'{where}: {first["msg"]}; the body is {{"latents": [[0.1, ...], ...]}}.') from error
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise invalid("latents", f"all rows must have the same length, not {min(widths)} and {max(widths)}.")
    with np.errstate(over="ignore"):
        return np.array(rows, np.float64).reshape(len(rows), max(widths, default=0)).astype(np.float32)


def parse_npy(body: bytes) -> NDArray[np.float32]:
    """numpy's own format -> float32 [n, width]; nothing is unpickled. Raises ProblemError."""
    stream = BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](stream)
    except (ValueError, KeyError, EOFError, SyntaxError, TypeError, TokenError, RecursionError, MemoryError) as error:
        # A header is Python source: what numpy's reader of it raises depends on where it is broken.
        raise ProblemError(
            "malformed", "The body is not an npy file (version 1 or 2) as numpy.save writes it."
        ) from error
    if dtype.newbyteorder("=") != np.float32 or len(shape) != 2:
        raise invalid("latents", f"the array must be float32 [n, d], not {dtype.name} {list(shape)}.")
    # The header is the sender's: memory is taken for what really came, not for what it claims.
    if (
        any(type(side) is not int for side in shape)
        or min(shape) < 0
        or shape[0] * shape[1] * dtype.itemsize != len(body) - stream.tell()
    ):
        raise ProblemError("malformed", "The npy file is cut short or too long for the shape in its header.")
    loaded: NDArray[np.float32] = np.load(BytesIO(body), allow_pickle=False)
    return np.ascontiguousarray(loaded, np.float32)
