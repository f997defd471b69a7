"""Exit 0 if the server of this container is ready, else 1 with the reason. Only Python's own library."""

from __future__ import annotations

import http.client
import os
import sys
import urllib.request
from collections.abc import Mapping

ANYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "[::]": "[::1]"}
TIMEOUT_SECONDS = 2


def ready_url(environment: Mapping[str, str]) -> str:
    """Where this container's server says whether it is ready; it listens where WINNOW_HTTP__BIND says."""
    host, _, port = environment.get("WINNOW_HTTP__BIND", "127.0.0.1:8000").rpartition(":")
    return f"http://{ANYWHERE.get(host, host)}:{port}/readyz"


def main() -> int:
    """One request; every failure is one line, which `docker inspect` shows."""
    # No proxy: an http_proxy for the container's own requests must not catch this one.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(ready_url(os.environ), timeout=TIMEOUT_SECONDS).close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stdout.write(f"not ready: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
