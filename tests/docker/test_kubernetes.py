"""The manifests: right by the schemas of Kubernetes, fitting one another and the server that they start."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.http.probes import router
from service.http.server import LAST_SECONDS
from service.metrics.registry import Metrics
from service.settings import HttpSettings, refuse_unknown

FOLDER = Path(__file__).parents[2] / "docker" / "kubernetes"
CLUSTERS = ("1.31", "1.37")
FILES = sorted(FOLDER.glob("*.yaml"))


def load(name: str) -> dict[str, Any]:
    document = yaml.safe_load((FOLDER / name).read_text())
    assert isinstance(document, dict)
    return document


def pod() -> dict[str, Any]:
    return load("deployment.yaml")["spec"]["template"]  # type: ignore[no-any-return]


def container() -> dict[str, Any]:
    return pod()["spec"]["containers"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_manifest_is_right_by_the_schemas(path: Path, cluster: str) -> None:
    assert kubernetes_validate.validate(load(path.name), cluster, strict=True) == cluster


def test_the_schemas_catch_a_misspelt_field_deep_in_the_pod() -> None:
    wrong = deepcopy(load("deployment.yaml"))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenessProb"):
        kubernetes_validate.validate(wrong, CLUSTERS[-1], strict=True)


def test_all_select_the_pods_of_the_deployment() -> None:
    labels = pod()["metadata"]["labels"]
    assert load("deployment.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert load("service.yaml")["spec"]["selector"] == labels
    assert load("disruption.yaml")["spec"]["selector"]["matchLabels"] == labels
    target, deployment = load("autoscaler.yaml")["spec"]["scaleTargetRef"], load("deployment.yaml")
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])


def test_the_monitor_selects_the_service_and_a_port_of_it() -> None:
    monitor, service = load("prometheus-operator/servicemonitor.yaml")["spec"], load("service.yaml")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {end["port"] for end in monitor["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}
    assert [port["targetPort"] for port in service["spec"]["ports"]] == [port["name"] for port in container()["ports"]]


def test_the_pod_outlives_the_servers_own_end() -> None:
    wait = float(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod()["spec"]["terminationGracePeriodSeconds"] > wait + HttpSettings().grace_seconds + LAST_SECONDS


def test_every_probe_asks_a_route_that_exists() -> None:
    probes = {name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert [probe["path"] for probe in probes.values()] == ["/startupz", "/readyz", "/livez"]
    assert {probe["path"] for probe in probes.values()} <= {getattr(route, "path", "") for route in router.routes}


def test_the_autoscaler_reads_a_metric_that_the_server_has() -> None:
    name = load("autoscaler.yaml")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert f"\n{name} " in Metrics().exposition().decode()


def test_the_pod_is_no_root_and_writes_nowhere_but_tmp() -> None:
    everyone, own = pod()["spec"]["securityContext"], container()["securityContext"]
    assert everyone["runAsNonRoot"] and everyone["runAsUser"] == 10001
    assert (
        own["readOnlyRootFilesystem"]
        and not own["allowPrivilegeEscalation"]
        and own["capabilities"] == {"drop": ["ALL"]}
    )
    assert [mount["mountPath"] for mount in container()["volumeMounts"]] == ["/tmp"]


def test_what_kubernetes_injects_for_the_service_does_not_stop_the_server() -> None:
    name = load("service.yaml")["metadata"]["name"].upper().replace("-", "_")
    port = load("service.yaml")["spec"]["ports"][0]
    injected = {f"{name}_SERVICE_HOST", f"{name}_SERVICE_PORT", f"{name}_SERVICE_PORT_{port['name'].upper()}"}
    injected |= {f"{name}_PORT"} | {
        f"{name}_PORT_{port['port']}_TCP{rest}" for rest in ("", "_PROTO", "_PORT", "_ADDR")
    }
    refuse_unknown(dict.fromkeys(injected, "10.0.0.1"))
    assert pod()["spec"]["enableServiceLinks"] is False
