"""How containers end."""

from __future__ import annotations

import signal
import threading
import time

from stack import (
    FIRST_SAMPLE_SECONDS,
    IMAGE,
    IMAGE_BYTES,
    LOAD,
    SERVICES,
    WINNOW,
    compose,
    docker,
    fetch,
    inspect,
    rows_of,
    within,
)

GRACE_SECONDS = 40  # stop_grace_period of docker-compose.yml


def a_stop_while_the_server_loads_ends_it_at_once() -> str:
    name = "winnow-test-early"
    docker("run", "--detach", "--name", name, "--network", "none", "--read-only", IMAGE)
    # Python itself takes a moment to start; from the first line of ours the signal is handled.
    caught = ("exec", name, "sed", "-n", "s/^SigCgt://p", "/proc/1/status")
    within(FIRST_SAMPLE_SECONDS, lambda: int(docker(*caught), 16) >> (signal.SIGTERM - 1) & 1)
    start = time.monotonic()
    docker("stop", "--time", "10", name)
    took, code = time.monotonic() - start, docker("inspect", "--format", "{{.State.ExitCode}}", name)
    docker("rm", name)
    assert code == "0" and took < 5, (code, took)
    return f"exit {code} after {took:.1f} s"


def stop_finishes_what_was_begun() -> str:
    compose("up", "--no-build", "--detach", "winnow")
    within(FIRST_SAMPLE_SECONDS, lambda: fetch(f"{WINNOW}/readyz"))
    rows, bodies = rows_of(seconds=5), []
    begun = threading.Thread(target=lambda: bodies.append(fetch(f"{WINNOW}{LOAD}{rows}", "POST", seconds=120)))
    begun.start()
    within(FIRST_SAMPLE_SECONDS, lambda: b"winnow_queue_rows 0.0" not in fetch(f"{WINNOW}/metrics"))
    start = time.monotonic()
    compose("stop", "winnow")
    took, state = time.monotonic() - start, inspect("winnow")["State"]
    begun.join()
    assert bodies and len(bodies[0]) > rows * IMAGE_BYTES, "the request in flight was cut off"
    assert state["ExitCode"] == 0 and not state["OOMKilled"] and took < GRACE_SECONDS, (state, took)
    return f"{rows} samples arrived, exit 0 after {took:.1f} s"


def the_others_stop_cleanly_too() -> str:
    compose("stop")
    codes = {service: inspect(service)["State"]["ExitCode"] for service in SERVICES}
    assert not any(codes.values()), codes
    return "exit 0"
