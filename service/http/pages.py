"""HTML pages with a policy that lets in nothing but what they are made of."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from starlette.responses import HTMLResponse

INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def page_response(html: str) -> HTMLResponse:
    """``html`` with a Content-Security-Policy: no host but ours, no frame, no script or style that is not in it."""
    return HTMLResponse(html, headers={"Content-Security-Policy": policy(html), "Referrer-Policy": "no-referrer"})


def policy(html: str) -> str:
    """The script and style of ``html`` are named by their hashes, so an injected one would not run."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in INLINE.findall(html):
        hashes[kind].append(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'")
    scripts, styles = (" ".join(hashes[kind]) or "'none'" for kind in ("script", "style"))
    return (
        "default-src 'none'; connect-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'self'; "
        f"frame-ancestors 'none'; script-src {scripts}; style-src {styles}"
    )
