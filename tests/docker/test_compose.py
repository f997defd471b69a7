"""docker-compose.yml and what it mounts, as files; docker/test.sh brings it up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.http.server import LAST_SECONDS
from service.settings import HttpSettings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_up_starts_the_service_prometheus_and_grafana_and_the_gpu_only_by_its_profile() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert profiles == {"winnow": None, "winnow-gpu": ["gpu"], "prometheus": None, "grafana": None}


@each_service
def test_every_port_is_published_on_the_loopback_address(service: dict[str, Any]) -> None:
    assert service["ports"] and all(port.startswith("127.0.0.1:") for port in service["ports"])


@each_service
def test_every_service_is_hardened_limited_and_restarted(service: dict[str, Any]) -> None:
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"] and service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}


@each_service
def test_every_service_has_a_health_check_and_an_image_of_one_version(service: dict[str, Any]) -> None:
    dockerfile = (ROOT / service["build"]["dockerfile"]).read_text() if "build" in service else ""
    assert "healthcheck" in service or "\nHEALTHCHECK " in dockerfile
    _, tag = service["image"].split(":")
    assert dockerfile or any(digit.isdigit() for digit in tag)


@each_service
def test_every_folder_that_is_mounted_is_here_and_cannot_be_written(service: dict[str, Any]) -> None:
    binds = [volume for volume in service["volumes"] if isinstance(volume, dict)]
    for bind in binds:
        assert bind["read_only"] is True
        source = bind["source"].removeprefix("${WINNOW_BUNDLES:-").removesuffix("}")
        assert any((ROOT / source).iterdir())
    assert binds


@pytest.mark.parametrize("name", ["winnow", "winnow-gpu"])
def test_a_stop_waits_longer_than_the_server_needs(name: str) -> None:
    assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > HttpSettings().grace_seconds + LAST_SECONDS


def test_prometheus_scrapes_the_service_whichever_variant_runs() -> None:
    config = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text())
    targets = [
        target for job in config["scrape_configs"] for group in job["static_configs"] for target in group["targets"]
    ]
    assert "winnow:8000" in targets
    assert SERVICES["winnow-gpu"]["networks"]["default"]["aliases"] == ["winnow"]


def test_grafana_has_no_account_and_shows_itself_to_viewers() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert (
        environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    )
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false" and environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert not [name for name in environment if "PASSWORD" in name]
