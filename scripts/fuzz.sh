#!/usr/bin/env bash
# Fuzzes every target (T=name: that one) for SECONDS_EACH seconds, beginning with what is kept of earlier
# runs; see docs/fuzzing.md. SQL=1 also fuzzes the SQL gate, which compiles DataFusion anew.
set -euo pipefail
cd "$(dirname "$0")/../trace/fuzz"
cache=${TRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trace}
export SQLX_OFFLINE=true CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../../target/fuzz}
export PATH="$cache/tools/bin:$PATH"
seconds=${SECONDS_EACH:-20}
features=()
targets=(dag_yaml token s3_prefix destination bundle forwarder proxy wake_up)
if [ "${SQL:-}" = 1 ]; then
    targets+=(sql)
    features=(--features sql)
fi
[ -z "${T:-}" ] || targets=("$T")

# Addresses are not sanitized: nothing here is unsafe but the sandbox, and the compiler's own checks of
# overflows and assertions are on.
cargo_fuzz() { cargo +nightly fuzz "$1" --fuzz-dir . --sanitizer none "${features[@]}" "${@:2}"; }

# 3: this machine can't build them, which is no finding.
cargo_fuzz build >&2 || exit 3
for target in "${targets[@]}"; do
    # What is found is kept outside the tree; `make fuzz` begins with it the next time.
    found="$cache/fuzz/$target"
    mkdir -p "$found"
    seeds=()
    [ ! -d "seeds/$target" ] || seeds+=("seeds/$target")
    log=$(mktemp)
    if ! cargo_fuzz run "$target" "$found" ${seeds[@]+"${seeds[@]}"} -- -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
        cat "$log" >&2
        echo "fuzz: \`$target\` found something; the input is in trace/fuzz/artifacts/$target" >&2
        exit 1
    fi
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2)
    rm -f "$log"
    printf '{"fuzz":"%s","seconds":%s,"executions":%s,"edges":%s,"findings":0}\n' \
        "$target" "$seconds" "${executed:-0}" "${covered:-0}"
done
