"""The running docker-compose.yml, asked through docker, HTTP and Prometheus; only Python's own library."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

DOCKER = os.environ["DOCKER"]
WINNOW, PROMETHEUS, GRAFANA = (
    f"http://127.0.0.1:{os.environ[name]}" for name in ("WINNOW_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
)
SERVICES = ("winnow", "prometheus", "grafana")
NETWORK = f"{os.environ['COMPOSE_PROJECT_NAME']}_default"
IMAGE = "winnow:cpu"
FIRST_SAMPLE_SECONDS = 30
SETTLED_SECONDS = 90
IMAGE_BYTES = 28 * 28
LOAD = "/sample?method=latentrs&format=npz&n="
MOST_ROWS = 20_000


def docker(*arguments: str, fails: bool = False, settings: dict[str, str] | None = None) -> str:
    """Output of one command, standard error included. Raises AssertionError unless it ends as expected."""
    run = subprocess.run(
        [DOCKER, *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={**os.environ, **(settings or {})},
    )  # fmt: skip
    expected = run.returncode != 0 if fails else run.returncode == 0
    assert expected, f"docker {' '.join(arguments)} ended with {run.returncode}: {run.stdout.strip()}"
    return run.stdout.strip()


def compose(*arguments: str, **settings: str) -> str:
    return docker("compose", *arguments, settings=settings)


def container(service: str) -> str:
    return compose("ps", "--all", "--quiet", service)


def inspect(service: str) -> Any:
    return json.loads(docker("inspect", container(service)))[0]


def inside(service: str, *command: str, fails: bool = False) -> str:
    return docker("exec", container(service), *command, fails=fails)


def process_one(service: str) -> dict[str, str]:
    """/proc/1/status of a container: what the kernel says, not what was asked for."""
    lines = inside(service, "cat", "/proc/1/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def fetch(url: str, method: str = "GET", seconds: float = 10) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=seconds) as answer:
        return bytes(answer.read())


def fetch_json(url: str) -> Any:
    return json.loads(fetch(url))


def within(seconds: float, look: Callable[[], Any]) -> Any:
    """What ``look`` returns once that is true. Raises AssertionError with its last complaint."""
    end, last = time.monotonic() + seconds, "nothing"
    while time.monotonic() < end:
        try:
            if found := look():
                return found
        except (OSError, AssertionError, KeyError, IndexError, ValueError) as error:
            last = f"{type(error).__name__}: {error}"
        time.sleep(0.25)
    raise AssertionError(f"not within {seconds:g} s; last seen: {last}")


def query(expression: str) -> float:
    """The one value that Prometheus has for it now."""
    answer = fetch_json(f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    return float(answer["data"]["result"][0]["value"][1])


def rows_of(seconds: float) -> int:
    """How many samples keep the service busy for about that long, on this machine as busy as it is."""
    start = time.monotonic()
    fetch(f"{WINNOW}{LOAD}200", "POST", seconds=60)
    return min(MOST_ROWS, round(200 * seconds / (time.monotonic() - start)))
