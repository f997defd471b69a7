"""Validators of seeded answers: known before the work, so a fresh copy costs no device time."""

from __future__ import annotations

import hashlib
import json

from service.engine.encoders.versions import encoder_facts
from service.engine.rows import SampleRequest


def entity_tag(request: SampleRequest, format_name: str, fingerprint: str) -> str:
    """A strong ETag of all that decides the bytes: the resolved request, the fingerprint, the encoders.

    ``request`` has all parameters of its method, defaults included, as JSON could hold them.
    """
    facts: list[object] = [request.model, request.method, request.n, request.seed, request.offset, request.decode]
    facts += [format_name, fingerprint]
    text = json.dumps([*facts, sorted(request.parameters.items()), sorted(encoder_facts().items())])
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names ``tag`` (weak comparison, RFC 9110 section 13.1.2)."""
    if if_none_match is None:
        return False
    given = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in given or tag in given
