"""The service as `docker compose up` brings it: soon, whole, healthy, and with the models that are mounted."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

from stack import (
    FIRST_SAMPLE_SECONDS,
    IMAGE,
    NETWORK,
    SERVICES,
    SETTLED_SECONDS,
    WINNOW,
    compose,
    container,
    docker,
    fetch,
    fetch_json,
    inspect,
    within,
)

SCRATCH = Path(os.environ["SCRATCH"])


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


def the_page_and_the_docs_come_out_of_the_image() -> str:
    assert all(b"<!doctype html" in fetch(f"{WINNOW}/{page}").lower() for page in ("", "docs"))
    names = [model["name"] for model in fetch_json(f"{WINNOW}/models")["models"] if model["status"] == "ready"]
    assert "fashion-mnist" in names, names
    return f"models {', '.join(names)}"


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


def a_folder_without_models_is_refused_in_one_line() -> str:
    (SCRATCH / "empty").mkdir()
    said = docker("run", "--rm", "--network", "none", "--volume", f"{SCRATCH}/empty:/bundles:ro", IMAGE, fails=True)
    assert said.startswith("winnow: no bundles under /bundles/") and "\n" not in said, said
    return said


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
