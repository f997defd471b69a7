"""Random requests for a server: right ones, nearly right ones and noise, from its own OpenAPI document and a seed."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import quote

import numpy as np

# Numbers at and beyond the edges of what parsers take.
ODD_NUMBERS = ("0", "-1", "1e9", "1e400", "nan", "inf", "-0", "1.5", "9" * 400, str(2**63), "0x10", "1_0", "\uff11")
ODD_TEXTS = (
    "",
    " ",
    "\x00",
    "%",
    "../..",
    "é",
    "\U0001f600",
    "a" * 300,
    "null",
    "[]",
    "true",
    "\r\nX: y",
    "latentrs ga",
)
ODD_TYPES = ("", "text/plain", "application/json; charset=utf-16", "application/x-npy;;", "multipart/form-data", "\xff")
VERBS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW")
LARGEST_N = 16  # of a request that is meant to be served: ten thousand of them must not take an hour
NPY = "application/x-npy"


@dataclass(frozen=True)
class FuzzRequest:
    """``route``: verb and path of the OpenAPI document that it is meant for, None for noise. ``leaves``: the client
    hangs up without reading the answer."""

    data: bytes
    route: tuple[str, str] | None
    leaves: bool = False


class Requests:
    """An endless stream of requests; ``dim``: of the default model's latents."""

    def __init__(self, document: dict[str, Any], models: list[str], dim: int, seed: int) -> None:
        self._random, self._models, self._dim = random.Random(seed), models, dim
        self._routes = [(verb, path, operation) for path, operations in document["paths"].items()
                        for verb, operation in operations.items()]  # fmt: skip
        self._names = sorted({item["name"] for _, _, operation in self._routes for item in _query(operation)})

    def __next__(self) -> FuzzRequest:
        draw = self._random
        verb, path, operation = draw.choice(self._routes)
        if path == "/sample" or "requestBody" in operation or draw.random() < 0.2:
            data = self._request(verb.upper(), path, operation)
        else:
            return next(self)
        if draw.random() < 0.1:
            return FuzzRequest(self._damaged(data), None, draw.random() < 0.5)
        return FuzzRequest(data, (verb, path), draw.random() < 0.05)

    def _request(self, verb: str, path: str, operation: dict[str, Any]) -> bytes:
        """Meant for an operation; any part may be wrong."""
        draw = self._random
        target = path.replace("{name}", quote(self._text(self._models), safe="")) + self._query_string(operation)
        fields: dict[str, str] = {"Host": "fuzz"}
        body = b""
        if "requestBody" in operation or draw.random() < 0.05:
            fields["Content-Type"], body = self._body()
        if draw.random() < 0.3:
            fields["Accept"] = self._text(
                ["image/png", "application/json", "*/*", "image/*;q=0.5", "text/html", "a/b;q=x"]
            )
        if draw.random() < 0.1:
            fields["If-None-Match"] = self._text(["*", '"a"', 'W/"a", "b"'])
        if draw.random() < 0.1:
            fields["X-Request-ID"] = self._text(["mine", "a b"])
        if draw.random() < 0.05:
            verb = draw.choice(VERBS)
        if body or draw.random() < 0.5:
            fields["Content-Length"] = str(len(body))
        if draw.random() < 0.003:
            fields["Content-Length"] = str(10**9)  # which never come
        head = f"{verb} {target} HTTP/1.1\r\n" + "".join(f"{name}: {_field(text)}\r\n" for name, text in fields.items())
        return head.encode("latin-1", "replace") + b"\r\n" + body

    def _query_string(self, operation: dict[str, Any]) -> str:
        draw = self._random
        chosen = [item for item in _query(operation) if draw.random() < 0.25]
        given = [(item["name"], self._value(item["name"], item["schema"])) for item in chosen]
        if draw.random() < 0.1:
            given.append((self._text(self._names), self._text(["1"])))
        if draw.random() < 0.05 and given:
            given.append(draw.choice(given))
        pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in given)
        return f"?{pairs}" if pairs else ""

    def _value(self, name: str, schema: dict[str, Any]) -> str:
        draw = self._random
        kinds = schema.get("anyOf", [schema])
        kind = draw.choice([item for item in kinds if item.get("type") != "null"] or kinds)
        if draw.random() < 0.15:
            return draw.choice(ODD_NUMBERS + ODD_TEXTS)
        if name == "model":
            return draw.choice(self._models)
        if "enum" in kind or "enum" in schema:
            return str(draw.choice(kind.get("enum") or schema["enum"]))
        if kind.get("type") in ("integer", "number"):
            return self._number(name, kind)
        return draw.choice(("true", "false", "a"))

    def _number(self, name: str, kind: dict[str, Any]) -> str:
        """Within the bounds that the schema gives, or at one of them."""
        draw = self._random
        low = kind.get("minimum", kind.get("exclusiveMinimum", 0))
        high = min(kind.get("maximum", kind.get("exclusiveMaximum", 32)), LARGEST_N if name == "n" else 10**18)
        if draw.random() < 0.2:
            return str(
                draw.choice([low, high]) + draw.choice([-1, 0, 0, 1]) * (1 if kind["type"] == "integer" else 1e-3)
            )
        if kind["type"] == "integer":
            return str(draw.randint(int(low), max(int(low), min(int(high), int(low) + LARGEST_N))))
        return repr(draw.uniform(float(low), float(high)))

    def _text(self, usual: list[str]) -> str:
        return self._random.choice(ODD_TEXTS) if self._random.random() < 0.15 else self._random.choice(usual)

    def _body(self) -> tuple[str, bytes]:
        """A Content-Type and latents, or what is nearly some."""
        draw = self._random
        media_type = draw.choice(("application/json", NPY, "application/octet-stream"))
        rows = [[draw.gauss(0, 1) for _ in range(self._dim)] for _ in range(draw.randint(0, LARGEST_N))]
        body = self._json(rows) if media_type == "application/json" else self._npy(rows)
        if draw.random() < 0.15:
            body = _mutated(body, draw)
        return (draw.choice(ODD_TYPES) if draw.random() < 0.08 else media_type), body

    def _json(self, rows: list[list[float]]) -> bytes:
        draw = self._random
        odd: tuple[Any, ...] = (
            None,
            True,
            "1",
            10**400,
            float("nan"),
            1e39,
            -1e308,
            [],
            {},
            [[[0.0]]],
            [0.0] * 3,
            "\ud800",
        )
        if draw.random() < 0.4 and rows:
            draw.choice(rows)[draw.randrange(self._dim)] = draw.choice(odd)
        document: Any = {"latents": rows}
        wrong: tuple[Callable[[], Any], ...] = (
            lambda: rows, lambda: {"latent": rows}, lambda: {"latents": draw.choice(odd)},
            lambda: {**document, "more": 1}, lambda: draw.choice(odd), lambda: {"latents": [draw.choice(odd)]},
        )  # fmt: skip
        if draw.random() < 0.2:
            document = draw.choice(wrong)()
        if draw.random() < 0.02:
            return b"[" * 100_000
        return json.dumps(document).encode()

    def _npy(self, rows: list[list[float]]) -> bytes:
        draw = self._random
        dtype: Any = "<f4" if draw.random() < 0.7 else draw.choice((">f4", "<f8", "<i4", "<c8", "|b1", "<U3", "<M8[s]"))
        array = np.array(rows, "<f4").reshape(len(rows), self._dim)
        if draw.random() < 0.1:
            array = array * np.float32(draw.choice((np.nan, np.inf, 1e30)))
        with np.errstate(all="ignore"):
            array = array.astype(dtype, order=draw.choice(("C", "F")))
        stream = BytesIO()
        np.save(stream, array if draw.random() < 0.9 else array[..., None], allow_pickle=False)
        return stream.getvalue()

    def _damaged(self, data: bytes) -> bytes:
        """A request that may not be one any more."""
        draw = self._random
        kinds: tuple[Callable[[], bytes], ...] = (
            lambda: _mutated(data, draw), lambda: data[: draw.randrange(len(data))], lambda: draw.randbytes(200),
            lambda: data.replace(b"\r\n", b"\n"), lambda: data.replace(b"HTTP/1.1", b"HTTP/9.9"),
            lambda: data.replace(b"Host", b"Content-Length: 7\r\nContent-Length: 8\r\nHost"),
            lambda: data.replace(b"Host", b"X: " + b"a" * 40_000 + b"\r\nHost"),
            lambda: data.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost"),
            lambda: data.replace(b" HTTP", b"?" + b"a" * 9_000 + b" HTTP"), lambda: data + struct.pack("<Q", 0),
        )  # fmt: skip
        return draw.choice(kinds)()


def _query(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in operation.get("parameters", []) if item["in"] == "query"]


def _field(text: str) -> str:
    """As a header value: no line end, which would make another header of it."""
    return text.replace("\r", " ").replace("\n", " ")


def _mutated(data: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, cut out or doubled."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        if changed:
            place = draw.randrange(len(changed))
            changed[place : place + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
    return bytes(changed)
