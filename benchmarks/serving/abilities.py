"""What the server under test can do, by its own documents, and the requests that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from benchmarks.serving.processes import Server


@dataclass(frozen=True)
class Abilities:
    """``parameters`` and ``formats`` of /sample; ``methods`` of the default ``model``."""

    model: str
    parameters: frozenset[str]
    formats: tuple[str, ...]
    methods: tuple[str, ...]
    fingerprint: str

    def first_format(self, *wanted: str) -> str:
        """The first of ``wanted`` that is served. Raises ValueError."""
        for name in wanted:
            if name in self.formats:
                return name
        raise ValueError(f"the server has none of the formats {', '.join(wanted)}")


def abilities(server: Server) -> Abilities:
    """Read from /openapi.json, /models and /info."""
    listed = server.get("/openapi.json")["paths"]["/sample"]["post"]["parameters"]
    formats = [choice for entry in listed if entry["name"] == "format" for choice in _enums(entry)]
    model = server.get("/models")["default"]
    document = server.get(f"/models/{model}")
    details, usable = document["method_details"], document["max_n"]
    entries = [(entry["name"], entry) for entry in details] if isinstance(details, list) else details.items()
    available = tuple(name for name, entry in entries if entry.get("available", not entry.get("missing")))
    fingerprint = server.get("/info")["fingerprints"][model]
    return Abilities(
        model,
        frozenset(entry["name"] for entry in listed),
        tuple(name for name in formats if name in usable),
        available,
        fingerprint,
    )


def sample_target(n: int, **query: object) -> str:
    """``/sample?n=...``; what is None is left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"/sample?{urlencode({'n': n, **given})}"


def _enums(node: Any) -> Iterator[str]:
    """Every string of every ``enum`` below ``node``."""
    if isinstance(node, dict):
        yield from (choice for choice in node.get("enum", ()) if isinstance(choice, str))
        for value in node.values():
            yield from _enums(value)
    elif isinstance(node, list):
        for value in node:
            yield from _enums(value)
