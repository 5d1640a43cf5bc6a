#!/usr/bin/env bash
# The adapters for AWS against LocalStack, and the ECS launcher against moto: sets both up where they are missing,
# starts them on free loopback ports, runs the tests, and ends them. See docs/aws.md.
#   scripts/localstack.sh [ARGUMENTS OF THE TESTS]
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(scripts/setup.sh localstack)
moto=$(scripts/setup.sh moto)
work=$(mktemp -d "${TMPDIR:-/tmp}/trace-localstack.XXXXXX")
emulator=
ecs=

# LocalStack heads a group of its own, so that nothing which it has started outlives it.
finish() {
    local code=$?
    trap - EXIT
    if [ -n "$emulator" ]; then
        kill -TERM -- "-$emulator" 2>/dev/null || true
        timeout 20 tail --pid="$emulator" -f /dev/null || kill -KILL -- "-$emulator" 2>/dev/null || true
    fi
    if [ -n "$ecs" ]; then kill -TERM "$ecs" 2>/dev/null || true; fi
    if [ "$code" -ne 0 ] && [ -s "$work/log" ]; then
        echo "localstack: its last words:" >&2
        grep -E 'ERROR|WARN|Traceback' "$work/log" | tail -n 20 >&2 || tail -n 20 "$work/log" >&2
    fi
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

export SQLX_OFFLINE=true
# The demo runs the services as the programs that they are, on the object store that enforces session policies.
scripts/setup.sh test
cache=${TRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trace}
export TRACE_TEST_WEED=${TRACE_TEST_WEED:-$cache/venv-$(sha256sum scripts/requirements-test.txt | cut -c1-16)/bin/weed}
cargo build --workspace --exclude trace-hostile --locked >&2
cargo test --workspace --exclude trace-hostile --locked --test localstack --test ecs --no-run >&2

# Below the ports that the kernel gives to whoever asks for any.
free_port() {
    "$venv/bin/python" - <<'PYTHON'
import contextlib, random, socket
while True:
    port = random.randrange(10_000, 32_000)
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        break
print(port)
PYTHON
}

# Nobody reaches the internet from there, and nothing is kept.
start() {
    local port
    port=$(free_port)
    endpoint="http://127.0.0.1:$port"
    mkdir -p "$work/state"
    # Without job control a background process is in the group of this script.
    set -m
    env -i PATH="$venv/bin:/usr/bin:/bin" HOME="$work/state" TMPDIR="$work/state" LANG=C.UTF-8 \
        GATEWAY_LISTEN="127.0.0.1:$port" SERVICES=sqs,s3,sts,kms,secretsmanager,iam EAGER_SERVICE_LOADING=0 \
        SKIP_SSL_CERT_DOWNLOAD=1 DISABLE_EVENTS=1 DNS_ADDRESS=0 PERSISTENCE=0 LS_LOG=warn \
        FILESYSTEM_ROOT="$work/state" VAR_LIBS_DIR="$work/state" \
        "$venv/bin/python" -m localstack.runtime.main >"$work/log" 2>&1 </dev/null &
    emulator=$!
    set +m
    port=$(free_port)
    ecs_endpoint="http://127.0.0.1:$port"
    env -i PATH=/usr/bin:/bin HOME="$work/state" "$moto/bin/python" -B localstack/serve_moto.py -H 127.0.0.1 -p "$port" >"$work/moto.log" 2>&1 </dev/null &
    ecs=$!
}

answers() {
    "$venv/bin/python" - "$1" <<'PYTHON'
import sys, urllib.request
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=2)
except OSError:
    sys.exit(1)
PYTHON
}

healthy() { answers "$endpoint/_localstack/health" && answers "$ecs_endpoint/moto-api/"; }

start
for _ in $(seq 1 120); do
    healthy && break
    # It may have lost its port to somebody else in the meantime.
    kill -0 "$emulator" 2>/dev/null && kill -0 "$ecs" 2>/dev/null || { echo "localstack: an emulator ended by itself" >&2; exit 1; }
    read -r -t 0.5 <> <(:) || true
done
healthy || { echo "localstack: the emulators do not get healthy" >&2; exit 1; }

export TRACE_TEST_LOCALSTACK=$endpoint TRACE_TEST_MOTO=$ecs_endpoint
cargo test --workspace --exclude trace-hostile --locked --test localstack -- "$@"
cargo test --workspace --exclude trace-hostile --locked --test ecs -- "$@"
