"""Real servers under load, and a real Prometheus that scrapes them and sends its alerts here. Nothing polls."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "docker" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
BUNDLE = ROOT / "bundles" / "gaussians-25"
# Every duration in the shipped rules is divided by it: five minutes become five seconds.
FASTER = 60
SCRAPE = "500ms"
PATIENCE = 90.0
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def tool(name: str) -> str:
    """The program's path; a failure that says how to get it where it is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: apt-get install --no-install-recommends prometheus")
    return path


def faster(duration: str) -> str:
    """``5m`` -> ``5000ms``."""
    return f"{1000 * int(duration[:-1]) * _SECONDS[duration[-1]] // FASTER}ms"


def faster_rules(path: Path) -> dict[str, Any]:
    """The rules of a file with every range and every ``for`` divided by ``FASTER``, all else as shipped."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        rule["expr"] = re.sub(r"\[(\d+[smh])\]", lambda found: f"[{faster(found[1])}]", rule["expr"])
        if "for" in rule:
            rule["for"] = faster(rule["for"])
    return document


class Server:
    """A real ``winnow serve`` on a free port."""

    def __init__(self, bundles: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "winnow", "serve", "--bundles", str(bundles), "--bind", "127.0.0.1:0",
             "--threads", "1", "--log", "json"],
            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._rest = threading.Thread(target=lambda: None, daemon=True)

    def listening(self) -> str:
        """Wait for it; ``host:port``."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if json.loads(line)["event"] == "listening":
                self._rest = threading.Thread(target=self.process.stderr.read, daemon=True)
                self._rest.start()
                return str(json.loads(line)["url"]).removeprefix("http://")
        pytest.fail("the server never listened")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self._rest.is_alive():
            self._rest.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def servers(*given: Server) -> Iterator[list[str]]:
    """Their addresses, once all of them listen."""
    try:
        yield [server.listening() for server in given]
    finally:
        for server in given:
            server.kill()


@contextmanager
def load(*targets: tuple[str, str]) -> Iterator[None]:
    """One client an (address, query), asking again and again whatever the answer is."""
    over = threading.Event()

    def press(address: str, query: str) -> None:
        with httpx.Client(base_url=f"http://{address}", timeout=PATIENCE) as client:
            while not over.is_set():
                try:
                    client.post(f"/sample?{query}")
                except httpx.TransportError:  # it was killed
                    over.wait()

    threads = [threading.Thread(target=press, args=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()


class Prometheus:
    """Prometheus at work: what to ask it, and the alerts that it sent, as Alertmanager would get them."""

    def __init__(self, url: str, alerts: queue.SimpleQueue[dict[str, Any]]) -> None:
        self.url, self._alerts = url, alerts

    def fired(self, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
        """Wait until every (alert, instance) of ``wanted`` was sent; all that was sent until then."""
        seen: dict[tuple[str, str], dict[str, Any]] = {}
        end = monotonic() + PATIENCE
        while not wanted <= seen.keys():
            try:
                alert = self._alerts.get(timeout=max(0.0, end - monotonic()))
            except queue.Empty:
                pytest.fail(f"{sorted(wanted - seen.keys())} did not fire; {sorted(seen)} did")
            seen[alert["labels"]["alertname"], alert["labels"].get("instance", "")] = alert
        return seen

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series, now. Raises what the answer says of a bad expression."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}).json()
        if answer["status"] != "success":
            raise ValueError(f"{expression}: {answer['error']}")
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]


@contextmanager
def prometheus(folder: Path, addresses: list[str], extra_rules: str = "groups: []") -> Iterator[Prometheus]:
    """It scrapes ``addresses`` under the shipped rules, made ``FASTER``, and ``extra_rules``."""
    alerts: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), _receiver(alerts))
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    folder.mkdir()
    (folder / "extra.yml").write_text(extra_rules)
    _configure(folder, addresses, f"127.0.0.1:{receiver.server_port}")
    command = [tool("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
               "--web.listen-address=127.0.0.1:0", "--log.format=json"]  # fmt: skip
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Prometheus(f"http://{_listening(process)}", alerts)
        finally:
            process.kill()
            receiver.shutdown()
            receiver.server_close()


def _configure(folder: Path, addresses: list[str], alertmanager: str) -> None:
    """The shipped configuration with the shipped rules, but fast, and with these addresses."""
    document = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    document["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), SCRAPE)
    document["rule_files"] = ["extra.yml", *(path.name for path in RULES)]
    document["scrape_configs"][0]["static_configs"] = [{"targets": addresses}]
    document["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    for path in RULES:
        (folder / path.name).write_text(yaml.safe_dump(faster_rules(path)))


def _listening(process: subprocess.Popen[str]) -> str:
    """The address that Prometheus took; what it logs later is thrown away."""
    assert process.stderr is not None
    for line in process.stderr:
        entry = json.loads(line)
        if entry.get("msg") == "Listening on":
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return str(entry["address"])
        if entry["level"] == "error":
            pytest.fail(f"Prometheus: {line}")
    pytest.fail("Prometheus never listened")


def _receiver(alerts: queue.SimpleQueue[dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            for alert in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
                alerts.put(alert)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the base class
            pass

    return Receiver
