# shellcheck shell=bash
# Sourced by docker/test.sh: the official images, or stand-ins under the same names; then the service's own.

PYTHON_IMAGE=$(sed -n 's/^ARG PYTHON_IMAGE=//p' docker/Dockerfile)
PROMETHEUS_IMAGE=$(sed -n 's/^ *image: \(prom\/prometheus:.*\)/\1/p' docker-compose.yml)
GRAFANA_IMAGE=$(sed -n 's/^ *image: \(grafana\/grafana:.*\)/\1/p' docker-compose.yml)

official_images_are_here() {
    local image
    for image in "$PYTHON_IMAGE" "$PROMETHEUS_IMAGE" "$GRAFANA_IMAGE"; do
        "$DOCKER" image inspect "$image" >/dev/null 2>&1 || "$DOCKER" pull --quiet "$image" >/dev/null 2>&1 || return 1
    done
}

choose_images() {
    REAL_IMAGES=1
    if [ "$STANDINS" != yes ] && official_images_are_here; then
        echo "Nothing was stood in for: official images on $("$DOCKER" info --format '{{.OperatingSystem}}')." >"$WORK/standins"
        return
    fi
    [ "$OWN_ENGINE" = 1 ] || fail "one of $PYTHON_IMAGE, $PROMETHEUS_IMAGE, $GRAFANA_IMAGE cannot be pulled"
    REAL_IMAGES=0
    cat >"$WORK/standins" <<TEXT
Real: docker/Dockerfile and docker-compose.yml as they are, Docker Engine (Debian's) with BuildKit, Compose.
$PYTHON_IMAGE: stood in for by Debian with Debian's own Python 3.11 (in /usr, not /usr/local) and pip.
$PROMETHEUS_IMAGE: stood in for by Debian's $(prometheus --version 2>&1 | sed -n '1s/^\(prometheus, version [^ ]*\).*/\1/p'), same user, paths, entrypoint.
$GRAFANA_IMAGE: NOT Grafana. A stub that reads the provisioning and dashboards where they are mounted and asks the
  data source through the same address that Grafana uses. Grafana itself, its loader and its pictures: not run.
torch: the wheel that this machine's pip finds; the index that is the default of TORCH_PIP_ARGS was not asked.
TEXT
    python_standin
    prometheus_standin
    grafana_standin
}

python_standin() {
    say "stand-in for $PYTHON_IMAGE"
    local pip_conf=$WORK/pip.conf
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$pip_conf"
    # Bookworm's Python is the 3.11 of the official image. A company's proxy signs with a certificate that this machine
    # knows and a fresh Debian does not, so its certificates come along.
    # shellcheck disable=SC2016 # the hook's own "$1", the folder of the new system
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-pip \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='rm "$1"/usr/lib/python3*/EXTERNALLY-MANAGED && ln -s python3 "$1"/usr/bin/python' \
        --customize-hook='upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt' \
        --customize-hook="upload $pip_conf /etc/pip.conf" \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        bookworm "$WORK/base.tar" http://deb.debian.org/debian >"$WORK/debootstrap.log" 2>&1 ||
        fail "no base image can be made of Debian's packages: $(tail -3 "$WORK/debootstrap.log")"
    "$DOCKER" import -c 'CMD ["python3"]' \
        -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$WORK/base.tar" "$PYTHON_IMAGE" >/dev/null
    rm "$WORK/base.tar"
}

prometheus_standin() {
    say "stand-in for $PROMETHEUS_IMAGE"
    mkdir "$WORK/prometheus"
    cp docker/testing/prometheus.Dockerfile "$WORK/prometheus/Dockerfile"
    cp "$(command -v prometheus)" "$(command -v promtool)" "$(command -v busybox)" "$WORK/prometheus/"
    build "$PROMETHEUS_IMAGE" "$WORK/prometheus"
}

grafana_standin() {
    say "stand-in for $GRAFANA_IMAGE"
    mkdir "$WORK/grafana"
    cp docker/testing/grafana.Dockerfile "$WORK/grafana/Dockerfile"
    cp docker/testing/grafana_stub.py requirements.lock "$(command -v busybox)" "$WORK/grafana/"
    build "$GRAFANA_IMAGE" "$WORK/grafana"
}

# build TAG CONTEXT [ARGUMENT...]: without a default bridge a RUN needs the machine's own network.
build() {
    local tag=$1 context=$2 network=()
    shift 2
    [ "$OWN_ENGINE" = 0 ] || network=(--network host)
    "$DOCKER" build "${network[@]}" "$@" --tag "$tag" "$context" >"$WORK/build.log" 2>&1 ||
        fail "$tag does not build: $(tail -25 "$WORK/build.log")"
}

build_service() {
    if [ "$REAL_IMAGES" = 1 ]; then
        build winnow:cpu . --file docker/Dockerfile ${TORCH_PIP_ARGS+--build-arg "TORCH_PIP_ARGS=$TORCH_PIP_ARGS"}
        return
    fi
    # The wheel comes over the loopback address, so that nothing of it stays in an image.
    local port
    python3 -m venv "$WORK/venv"
    "$WORK/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --python-version 3.11 --dest "$WORK/wheels" -c requirements.lock torch || fail "pip finds no wheel of torch for Python 3.11"
    : >"$WORK/wheels.log"
    python3 -u -m http.server --bind 127.0.0.1 --directory "$WORK/wheels" 0 >"$WORK/wheels.log" 2>&1 &
    WHEEL_SERVER=$!
    until port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$WORK/wheels.log") && [ -n "$port" ]; do
        kill -0 "$WHEEL_SERVER" || fail "the wheel of torch cannot be served: $(cat "$WORK/wheels.log")"
        sleep 0.1
    done
    build winnow:cpu . --file docker/Dockerfile --build-arg TORCH_PIP_ARGS="--no-index --find-links http://127.0.0.1:$port/"
    kill "$WHEEL_SERVER"
    WHEEL_SERVER=
}
