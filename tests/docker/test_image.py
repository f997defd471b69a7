"""The Dockerfile as a file, and the health check of its image as a process; docker/test.sh builds and runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service.settings import load_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
HEALTH_CHECK = ROOT / "docker" / "healthcheck.py"


def copied() -> set[str]:
    """What the Dockerfile copies out of this folder."""
    lines = re.findall(r"^COPY (.*)", DOCKERFILE, re.MULTILINE)
    words = [
        [word for word in line.split() if not word.startswith("--chmod")] for line in lines if "--from" not in line
    ]
    return {source for line in words for source in line[:-1]}


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in rules
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied()
    assert all((ROOT / source).exists() for source in copied())


def test_every_package_is_copied() -> None:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.removesuffix("*") for name in found} <= copied()


def test_the_settings_of_the_image_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(r"(WINNOW_\w+)=(\S+)", DOCKERFILE):
        monkeypatch.setenv(name, value)
    settings = load_settings({}, os.environ)
    assert settings.http.bind == "0.0.0.0:8000" and settings.bundles == Path("/bundles")


def test_the_build_uses_only_what_an_old_builder_knows() -> None:
    assert not re.search(r"^# *syntax|<<|^COPY[^\n]*--link", DOCKERFILE, re.MULTILINE)


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers every request with this status; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check_health(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", HEALTH_CHECK],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost"])
def test_a_ready_server_is_healthy_wherever_it_listens(host: str) -> None:
    with answering(200) as port:
        assert check_health(WINNOW_HTTP__BIND=f"{host}:{port}").returncode == 0


def test_a_proxy_for_others_is_not_asked() -> None:
    with answering(200) as port:
        assert check_health(WINNOW_HTTP__BIND=f"0.0.0.0:{port}", http_proxy="http://127.0.0.1:1").returncode == 0


def test_a_server_that_is_not_ready_is_unhealthy_and_says_why() -> None:
    with answering(503) as port:
        check = check_health(WINNOW_HTTP__BIND=f"0.0.0.0:{port}")
    assert check.returncode == 1 and "503" in check.stdout


def test_no_server_is_unhealthy_in_one_line() -> None:
    with answering(200) as port:
        pass
    check = check_health(WINNOW_HTTP__BIND=f"0.0.0.0:{port}")
    assert check.returncode == 1 and check.stdout.startswith("not ready: ") and check.stdout.count("\n") == 1
    assert check.stderr == ""


@pytest.mark.parametrize("bind", ["", "nonsense", "0.0.0.0:port"])
def test_an_address_that_is_none_is_unhealthy_too(bind: str) -> None:
    check = check_health(WINNOW_HTTP__BIND=bind)
    assert check.returncode == 1 and check.stderr == ""
