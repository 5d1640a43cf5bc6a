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
SEEDS=0..3 TASKS=240 scripts/chaos.sh
scripts/hostile.sh
(cd udf-sdk/python && python3 -m unittest discover -s tests -t .)
(cd udf-sdk/python && TRACE_NATIVE_WRITER="$OLDPWD/target/debug/trace-udf-native" "$venv/bin/python" -m unittest tests.interop_pyarrow)
scripts/demo.sh
