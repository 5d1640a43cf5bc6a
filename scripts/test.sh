#!/usr/bin/env bash
# Every test, with the real parts that they need. `trace-hostile` is excluded from what is built with the
# rest: it asks for switches that nothing else may have.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${TRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trace}
venv="$cache/venv-$(sha256sum scripts/requirements-test.txt | cut -c1-16)"
export SQLX_OFFLINE=true
export TRACE_TEST_AWS="$venv/bin/aws"
export TRACE_TEST_WEED="$venv/bin/weed"

(cd dags/data && sha256sum --check --quiet SHA256SUMS)
cargo build --workspace --exclude trace-hostile --locked
cargo test --workspace --exclude trace-hostile --locked
scripts/localstack.sh
SEEDS=0..3 TASKS=240 PROFILE=dev scripts/chaos.sh
applied=0
scripts/terraform.sh || applied=$?
case $applied in
    0) ;;
    3) echo "test: the modules of terraform/ were not applied: see above, and docs/terraform.md" >&2 ;;
    *) exit "$applied" ;;
esac
if [ "$(id -u)" -eq 0 ]; then
    scripts/hostile.sh
else
    echo "test: the hostile suite was not run: each sandbox is to have a user of its own, which takes root" >&2
fi

# Findings fail; a machine without a nightly compiler that builds the targets does not.
fuzzed=3
if rustup toolchain list 2>/dev/null | grep -q '^nightly' && scripts/setup.sh fuzz; then
    SECONDS_EACH=5 scripts/fuzz.sh && fuzzed=0 || fuzzed=$?
fi
case $fuzzed in
    0) ;;
    3) echo "test: nothing was fuzzed: there is no nightly compiler here that builds the targets; see docs/fuzzing.md" >&2 ;;
    *) exit "$fuzzed" ;;
esac

(cd udf-sdk/python && python3 -m unittest discover -s tests -t .)
(cd udf-sdk/python && TRACE_NATIVE_WRITER="$OLDPWD/target/debug/trace-udf-native" "$venv/bin/python" -m unittest tests.interop_pyarrow)
scripts/demo.sh
