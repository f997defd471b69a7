"""What docs/docker.md promises, checked against the real docker-compose.yml. docker/test.sh runs it; only Python's own
library. Each check is a sentence; the first that is wrong ends the run with what the containers said.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from stack import (
    DOCKER,
    GRAFANA,
    LOAD,
    PROMETHEUS,
    WINNOW,
    compose,
    container,
    docker,
    fetch,
    fetch_json,
    inside,
    inspect,
    process_one,
    query,
    rows_of,
    within,
)

SCRATCH = Path(os.environ["SCRATCH"])
SERVICES = ("winnow", "prometheus", "grafana")
NETWORK = f"{os.environ['COMPOSE_PROJECT_NAME']}_default"
IMAGE = "winnow:cpu"
USER = 10001
FIRST_SAMPLE_SECONDS = 30
SETTLED_SECONDS = 90
GRACE_SECONDS = 40  # stop_grace_period of docker-compose.yml
MEMORY_BYTES = 2 * 2**30  # the limit in docker-compose.yml
IMAGE_BYTES = 28 * 28
KILLED = 137
BUILD_TOOLS = ("cc", "gcc", "g++", "clang", "ld", "make", "cmake", "cargo", "git")
TRAINING_AND_TESTING = {"pot", "pytest", "mypy", "ruff", "scikit-learn", "scipy", "tensorboard", "tqdm"}


def the_first_sample_is_there_within_30_seconds_of_up() -> str:
    start = time.monotonic()
    up = threading.Thread(target=compose, args=("up", "--no-build", "--detach"))
    up.start()
    png = within(FIRST_SAMPLE_SECONDS, lambda: fetch(f"{WINNOW}/sample?method=latentrs&n=1", "POST"))
    took = time.monotonic() - start
    up.join()
    assert png.startswith(b"\x89PNG"), png[:80]
    assert took < FIRST_SAMPLE_SECONDS
    return f"{took:.1f} s"


def every_health_check_is_green() -> str:
    def all_green() -> bool:
        health = {service: inspect(service)["State"]["Health"] for service in SERVICES}
        red = {name: state["Log"][-1:] for name, state in health.items() if state["Status"] != "healthy"}
        assert not red, red
        return True

    within(SETTLED_SECONDS, all_green)
    return ", ".join(SERVICES)


def ports_are_published_on_the_loopback_address_alone() -> str:
    published = {
        service: [port["HostIp"] for ports in inspect(service)["NetworkSettings"]["Ports"].values() for port in ports]
        for service in SERVICES
    }
    assert all(addresses == ["127.0.0.1"] for addresses in published.values()), published
    return "one port each"


def nothing_runs_as_root_or_could_become_it() -> str:
    users = {}
    for service in SERVICES:
        status = process_one(service)
        users[service] = int(status["Uid"].split()[0])
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0, status
        assert status["NoNewPrivs"] == "1", status
    assert users["winnow"] == USER and 0 not in users.values(), users
    return ", ".join(f"{service} is {user}" for service, user in users.items())


def root_file_systems_are_read_only() -> str:
    for service in SERVICES:
        complaint = inside(service, "sh", "-c", "echo >/probe", fails=True)
        assert "read-only" in complaint.lower(), complaint
        inside(service, "sh", "-c", "echo >/tmp/probe && rm /tmp/probe")
    for path in ("/opt/winnow/probe", "/bundles/probe", "/home/probe"):
        assert "read-only" in inside("winnow", "sh", "-c", f"echo >{path}", fails=True).lower(), path
    return "but /tmp"


def no_build_tool_is_in_the_image() -> str:
    for tool in BUILD_TOOLS:
        inside("winnow", "sh", "-c", f"command -v {tool}", fails=True)
    for python in ("python", "/usr/bin/python3", "/usr/local/bin/python3"):
        inside("winnow", "sh", "-c", f"command -v {python} >/dev/null && {python} -c 'import pip'", fails=True)
    compilers = inside("winnow", "find", "/opt/winnow", "-name", "protoc", "-o", "-name", "protoc-*")
    assert not compilers, compilers
    listing = "import importlib.metadata as m; print(*{d.name.lower() for d in m.distributions()})"
    installed = set(inside("winnow", "python", "-I", "-c", listing).split())
    assert "torch" in installed and not installed & TRAINING_AND_TESTING, installed
    return f"{len(installed)} Python packages"


def the_page_and_the_docs_come_out_of_the_image() -> str:
    assert all(b"<!doctype html" in fetch(f"{WINNOW}/{page}").lower() for page in ("", "docs"))
    names = [model["name"] for model in fetch_json(f"{WINNOW}/models")["models"] if model["status"] == "ready"]
    assert "fashion-mnist" in names, names
    return f"models {', '.join(names)}"


def prometheus_in_its_container_scrapes_the_service_in_its_own() -> str:
    assert within(SETTLED_SECONDS, lambda: query('up{instance="winnow:8000"}')) == 1
    before = query("sum(winnow_samples_total)")
    fetch(f"{WINNOW}/sample?method=latentrs&n=100&format=npz", "POST")
    after = within(SETTLED_SECONDS, lambda: (now := query("sum(winnow_samples_total)")) >= before + 100 and now)
    assert query("winnow_ready") == 1
    groups = fetch_json(f"{PROMETHEUS}/api/v1/rules")["data"]["groups"]
    broken = [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
    assert not broken, broken
    return f"winnow_samples_total {before:g} -> {after:g}, {sum(len(group['rules']) for group in groups)} rules"


def grafana_finds_its_dashboards_and_reaches_prometheus() -> str:
    fetch(f"{GRAFANA}/api/health")
    dashboards = fetch_json(f"{GRAFANA}/api/search?type=dash-db")
    files = list(Path("docker/grafana/dashboards").rglob("*.json"))
    assert len(dashboards) == len(files) > 0, dashboards
    uid = next(Path("docker/grafana/provisioning/datasources").glob("*.y*ml")).read_text().split("uid:")[1].split()[0]
    proxy = f"{GRAFANA}/api/datasources/proxy/uid/{uid}/api/v1/query?query=winnow_ready"
    assert fetch_json(proxy)["data"]["result"][0]["value"][1] == "1"
    return ", ".join(dashboard["title"] for dashboard in dashboards)


def grafana_knows_no_password() -> str:
    for account in ("admin:admin", "admin:"):
        assert account not in json.dumps(inspect("grafana")["Config"]["Env"])
    environment = dict(pair.split("=", 1) for pair in inspect("grafana")["Config"]["Env"])
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    return "no account is created"


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


def two_cpus_give_as_many_threads_as_this_machine_has_up_to_two() -> str:
    threads = fetch_json(f"{WINNOW}/info")["environment"]["threads"]
    assert threads == min(2, os.cpu_count() or 1), threads
    return f"{threads}"


def one_cpu_gives_one_thread_and_a_folder_of_models_is_served() -> str:
    models = SCRATCH / "models"
    shutil.copytree("bundles/gaussians-25", models / "points")
    compose("up", "--no-build", "--detach", "winnow", LIMIT_CPUS="1", WINNOW_BUNDLES=str(models))
    served = within(FIRST_SAMPLE_SECONDS, lambda: fetch_json(f"{WINNOW}/models"))
    assert [model["name"] for model in served["models"]] == ["gaussians-25"], served
    assert inspect("winnow")["HostConfig"]["NanoCpus"] == 10**9
    threads = fetch_json(f"{WINNOW}/info")["environment"]["threads"]
    assert threads == 1, threads
    assert fetch(f"{WINNOW}/sample?n=10", "POST").startswith(b"\x89PNG")
    return "gaussians-25 on 1 thread"


def prometheus_finds_the_new_container() -> str:
    within(
        SETTLED_SECONDS, lambda: query('winnow_model_info{model="gaussians-25"}') == 1 and query("winnow_ready") == 1
    )
    return "by its name"


def a_folder_without_models_is_refused_in_one_line() -> str:
    (SCRATCH / "empty").mkdir()
    said = docker("run", "--rm", "--network", "none", "--volume", f"{SCRATCH}/empty:/bundles:ro", IMAGE, fails=True)
    assert said.startswith("winnow: no bundles under /bundles/") and "\n" not in said, said
    return said


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


def it_needs_no_writable_place_at_all() -> str:
    name = "winnow-test-sealed"
    docker("run", "--detach", "--name", name, "--network", NETWORK, "--read-only", "--cap-drop", "ALL", IMAGE)
    ask = "import urllib.request as u; print(len(u.urlopen('http://127.0.0.1:8000/sample?n=64&format=' + '{}').read()))"
    within(FIRST_SAMPLE_SECONDS, lambda: docker("exec", name, "python", "/opt/winnow/healthcheck.py") == "")
    for shape in ("png", "npz", "json"):
        assert int(docker("exec", name, "python", "-c", ask.format(shape))) > 1000
    docker("rm", "--force", name)
    return "png, npz and json without /tmp"


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


def the_gpu_profile_takes_the_place_of_the_service() -> str:
    borrowed = not docker("image", "ls", "--quiet", "winnow:cuda")
    if borrowed:  # no CUDA image is needed to see what Compose makes of the profile
        docker("tag", IMAGE, "winnow:cuda")
    compose("--profile", "gpu", "up", "--no-build", "--no-start", "--scale", "winnow=0")
    made = inspect("winnow-gpu")
    aliases = made["NetworkSettings"]["Networks"][NETWORK]["Aliases"]
    assert "winnow" in aliases, aliases
    assert made["HostConfig"]["DeviceRequests"][0]["Driver"] == "nvidia", made["HostConfig"]["DeviceRequests"]
    assert container("winnow") == ""
    if borrowed:
        compose("--profile", "gpu", "rm", "--force", "winnow-gpu")
        docker("rmi", "winnow:cuda")
    return "made, not started"


CHECKS: tuple[Callable[[], str], ...] = (
    the_first_sample_is_there_within_30_seconds_of_up,
    every_health_check_is_green,
    ports_are_published_on_the_loopback_address_alone,
    nothing_runs_as_root_or_could_become_it,
    root_file_systems_are_read_only,
    no_build_tool_is_in_the_image,
    the_page_and_the_docs_come_out_of_the_image,
    prometheus_in_its_container_scrapes_the_service_in_its_own,
    grafana_finds_its_dashboards_and_reaches_prometheus,
    grafana_knows_no_password,
    two_cpus_give_as_many_threads_as_this_machine_has_up_to_two,
    memory_stays_under_the_limit_under_load,
    a_process_over_the_limit_is_killed,
    one_cpu_gives_one_thread_and_a_folder_of_models_is_served,
    prometheus_finds_the_new_container,
    a_folder_without_models_is_refused_in_one_line,
    a_stop_while_the_server_loads_ends_it_at_once,
    it_needs_no_writable_place_at_all,
    stop_finishes_what_was_begun,
    the_others_stop_cleanly_too,
    the_gpu_profile_takes_the_place_of_the_service,
)


def main() -> int:
    for check in CHECKS:
        sentence = check.__name__.replace("_", " ")
        try:
            print(f"ok: {sentence}: {check()}", flush=True)
        except (AssertionError, OSError, KeyError, IndexError, ValueError) as error:
            print(f"WRONG: {sentence}: {type(error).__name__}: {error}", flush=True)
            for look in (("ps", "--all"), ("logs", "--tail", "30")):
                print(subprocess.run([DOCKER, "compose", *look], capture_output=True, text=True, check=False).stdout)
            return 1
    print(f"{len(CHECKS)} checks of the containers, all right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
