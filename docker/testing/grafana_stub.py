"""Stands in for Grafana in docker/test.sh: reads what is provisioned and asks its data sources, and draws nothing.

It answers three of Grafana's addresses: ``/api/health`` (500 with the reason when something provisioned is wrong),
``/api/search`` (the dashboards that were found) and ``/api/datasources/proxy/uid/UID/...`` (the data source).
"""

from __future__ import annotations

import json
import signal
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

PROVISIONING = Path("/etc/grafana/provisioning")
STATE = Path("/var/lib/grafana")
PROXY = "/api/datasources/proxy/uid/"


def documents(kind: str) -> list[dict[str, Any]]:
    """Every YAML file of one kind of provisioning. Raises ValueError."""
    files = sorted(path for path in (PROVISIONING / kind).glob("*") if path.suffix in (".yml", ".yaml"))
    if not files:
        raise ValueError(f"no {kind} are provisioned under {PROVISIONING / kind}")
    return [yaml.safe_load(path.read_text()) for path in files]


def data_sources() -> dict[str, str]:
    """Address of each data source, by its uid."""
    return {source["uid"]: source["url"] for document in documents("datasources") for source in document["datasources"]}


def dashboards() -> list[dict[str, Any]]:
    """Every dashboard of every provider. Raises ValueError when one has no file or a panel has no known data source."""
    found, known = [], data_sources()
    for provider in (provider for document in documents("dashboards") for provider in document["providers"]):
        paths = sorted(Path(provider["options"]["path"]).rglob("*.json"))
        if not paths:
            raise ValueError(f"no dashboard under {provider['options']['path']}")
        for path in paths:
            dashboard = json.loads(path.read_text())
            unknown = uids(dashboard) - known.keys()
            if unknown:
                raise ValueError(f"{path} asks the unknown data sources {sorted(unknown)}")
            found.append({"uid": dashboard["uid"], "title": dashboard["title"], "type": "dash-db"})
    return found


def uids(node: Any) -> set[str]:
    """The data sources below a node, without variables and Grafana's own."""
    if isinstance(node, list):
        return {uid for child in node for uid in uids(child)}
    if not isinstance(node, dict):
        return set()
    below = {uid for child in node.values() for uid in uids(child)}
    source = node.get("datasource")
    uid = source.get("uid", "") if isinstance(source, dict) else ""
    return below | ({uid} if uid and not uid.startswith(("$", "-- ", "grafana")) else set())


class Stub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            self.answer(200, self.body())
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            self.answer(500, json.dumps({"message": f"{type(error).__name__}: {error}"}).encode())

    def body(self) -> bytes:
        if self.path.startswith(PROXY):
            uid, _, rest = self.path.removeprefix(PROXY).partition("/")
            with urllib.request.urlopen(f"{data_sources()[uid]}/{rest}", timeout=5) as reply:
                return bytes(reply.read())
        if self.path.startswith("/api/search"):
            return json.dumps(dashboards()).encode()
        if self.path == "/api/health":
            return json.dumps({"database": "ok", "version": "stub", "dashboards": len(dashboards())}).encode()
        raise ValueError(f"the stub has no {self.path}")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    (STATE / "grafana.db").touch()  # fails where the volume cannot be written, as Grafana would
    ThreadingHTTPServer(("0.0.0.0", 3000), Stub).serve_forever()
