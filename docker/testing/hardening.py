"""Who may do what: no root, no writable place, no build tool, no open port."""

from __future__ import annotations

import json

from stack import FIRST_SAMPLE_SECONDS, IMAGE, NETWORK, SERVICES, docker, inside, inspect, process_one, within

USER = 10001
BUILD_TOOLS = ("cc", "gcc", "g++", "clang", "ld", "make", "cmake", "cargo", "git")
TRAINING_AND_TESTING = {"pot", "pytest", "mypy", "ruff", "scikit-learn", "scipy", "tensorboard", "tqdm"}


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


def it_needs_no_writable_place_at_all() -> str:
    name = "winnow-test-sealed"
    docker("run", "--detach", "--name", name, "--network", NETWORK, "--read-only", "--cap-drop", "ALL", IMAGE)
    ask = "import urllib.request as u; print(len(u.urlopen('http://127.0.0.1:8000/sample?n=64&format=' + '{}').read()))"
    within(FIRST_SAMPLE_SECONDS, lambda: docker("exec", name, "python", "/opt/winnow/healthcheck.py") == "")
    for shape in ("png", "npz", "json"):
        assert int(docker("exec", name, "python", "-c", ask.format(shape))) > 1000
    docker("rm", "--force", name)
    return "png, npz and json without /tmp"


def grafana_knows_no_password() -> str:
    for account in ("admin:admin", "admin:"):
        assert account not in json.dumps(inspect("grafana")["Config"]["Env"])
    environment = dict(pair.split("=", 1) for pair in inspect("grafana")["Config"]["Env"])
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    return "no account is created"
