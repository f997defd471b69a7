"""What docs/docker.md promises, checked against the real docker-compose.yml. docker/test.sh runs it; only Python's own
library. Each check is a sentence; the first that is wrong ends the run with what the containers said.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import hardening
import limits
import observing
import running
import stopping
from stack import DOCKER

# In this order: some leave the containers as the next ones need them.
CHECKS: tuple[Callable[[], str], ...] = (
    running.the_first_sample_is_there_within_30_seconds_of_up,
    running.every_health_check_is_green,
    hardening.ports_are_published_on_the_loopback_address_alone,
    hardening.nothing_runs_as_root_or_could_become_it,
    hardening.root_file_systems_are_read_only,
    hardening.no_build_tool_is_in_the_image,
    running.the_page_and_the_docs_come_out_of_the_image,
    observing.prometheus_in_its_container_scrapes_the_service_in_its_own,
    observing.an_endpoint_in_the_environment_gets_the_traces,
    observing.grafana_finds_its_dashboards_and_reaches_prometheus,
    hardening.grafana_knows_no_password,
    limits.two_cpus_give_as_many_threads_as_the_container_may_use_up_to_two,
    limits.memory_stays_under_the_limit_under_load,
    limits.a_process_over_the_limit_is_killed,
    running.one_cpu_gives_one_thread_and_a_folder_of_models_is_served,
    observing.prometheus_finds_the_new_container,
    running.a_folder_without_models_is_refused_in_one_line,
    stopping.a_stop_while_the_server_loads_ends_it_at_once,
    hardening.it_needs_no_writable_place_at_all,
    stopping.stop_finishes_what_was_begun,
    stopping.the_others_stop_cleanly_too,
    running.the_gpu_profile_takes_the_place_of_the_service,
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
