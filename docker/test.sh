#!/usr/bin/env bash
# Builds the real Dockerfile, brings up the real docker-compose.yml and checks what docs/docker.md promises.
#
#   docker/test.sh                 with the engine and the official images if both are there, else, on Debian as root,
#                                  with an engine of its own and stand-ins for the images that it cannot pull
#   STANDINS=no docker/test.sh     official images or failure;  STANDINS=yes: never ask a registry
#   KEEP=1 docker/test.sh          leaves everything running, to look at
#
# What stands in for what is printed at the end. Everything lives in one folder and is removed with it.
set -euo pipefail
cd "$(dirname "$0")/.."
STANDINS=${STANDINS:-auto}
WORK=$(mktemp -d /tmp/winnow-containers.XXXXXX) # short: a socket's path has at most 107 characters
FREE_GIB_NEEDED=6                               # the engine's data at the end of a run: 4.4 GiB
export COMPOSE_PROJECT_NAME=winnow-test DOCKER_BUILDKIT=1
# Beside a Winnow that already runs here.
export WINNOW_PORT=${WINNOW_PORT:-18000} PROMETHEUS_PORT=${PROMETHEUS_PORT:-19090} GRAFANA_PORT=${GRAFANA_PORT:-13000}

say() { printf '\n### %s (%s s)\n' "$*" "$SECONDS"; }
fail() {
    printf 'docker/test.sh: %s\n' "$*" >&2
    exit 1
}
# shellcheck source=docker/testing/engine.sh
. docker/testing/engine.sh
# shellcheck source=docker/testing/images.sh
. docker/testing/images.sh

clean_up() {
    code=$?
    if [ "${KEEP:-0}" = 1 ]; then
        printf 'left running: DOCKER_HOST=%s, %s\n' "${DOCKER_HOST:-}" "$WORK"
        exit "$code"
    fi
    [ -z "${WHEEL_SERVER:-}" ] || kill "$WHEEL_SERVER" 2>/dev/null || true
    if [ -n "${DOCKER:-}" ]; then
        "$DOCKER" compose --profile gpu down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || true
        "$DOCKER" ps --all --quiet --filter name=winnow-test- 2>/dev/null | xargs -r "$DOCKER" rm --force >/dev/null 2>&1 || true
    fi
    stop_own_engine
    rm -rf "$WORK"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

choose_engine # sets DOCKER and OWN_ENGINE
choose_images # sets REAL_IMAGES; builds the stand-ins

say "the image of the service"
build_service
service_size=$("$DOCKER" image inspect -f '{{.Size}}' winnow:cpu)
base_size=$("$DOCKER" image inspect -f '{{.Size}}' "$PYTHON_IMAGE")
printf 'winnow:cpu %d MB, of which the base image %d MB\n' $((service_size / 1000000)) $((base_size / 1000000))

say "checks"
DOCKER=$DOCKER SCRATCH=$WORK python3 docker/testing/checks.py

say "what was real and what was not"
cat "$WORK/standins"
