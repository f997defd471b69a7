"""What the limits of the compose file do."""

from __future__ import annotations

import json
import time

from stack import IMAGE, IMAGE_BYTES, LOAD, WINNOW, docker, fetch, fetch_json, inside, inspect, process_one, rows_of

MEMORY_BYTES = 2 * 2**30  # the limit in docker-compose.yml
KILLED = 137


def two_cpus_give_as_many_threads_as_the_container_may_use_up_to_two() -> str:
    threads = fetch_json(f"{WINNOW}/info")["environment"]["threads"]
    assert threads == min(2, int(inside("winnow", "nproc"))), threads
    return f"{threads}"


def memory_stays_under_the_limit_under_load() -> str:
    assert inspect("winnow")["HostConfig"]["Memory"] == MEMORY_BYTES
    rows, start = rows_of(seconds=10), time.monotonic()
    body = fetch(f"{WINNOW}{LOAD}{rows}", "POST", seconds=120)
    took = time.monotonic() - start
    assert len(body) > rows * IMAGE_BYTES
    state = inspect("winnow")["State"]
    assert not state["OOMKilled"] and state["Health"]["Status"] == "healthy", state
    peak = int(process_one("winnow")["VmHWM"].split()[0]) * 1024
    assert peak < MEMORY_BYTES / 2, peak
    return f"{rows} samples in {took:.1f} s, at most {peak / 1e6:.0f} MB resident"


def a_process_over_the_limit_is_killed() -> str:
    name = "winnow-test-bomb"
    bomb = ("run", "--name", name, "--network", "none", "--memory", "256m", "--entrypoint", "python", IMAGE)
    docker(*bomb, "-c", "hoard = bytearray(2**30)", fails=True)
    state = json.loads(docker("inspect", name))[0]["State"]
    docker("rm", name)
    assert state["OOMKilled"] and state["ExitCode"] == KILLED, state
    return f"exit {KILLED}"
