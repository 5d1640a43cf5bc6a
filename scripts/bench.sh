#!/usr/bin/env bash
# Builds in release and runs the benchmarks: one JSON line each on standard output, everything else
# on standard error. With a name, that one alone. docs/benchmarks.md says what each of them measures.
set -euo pipefail
cd "$(dirname "$0")/.."
export SQLX_OFFLINE=true
cache=${TRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trace}

# One line a benchmark: its name, and the program that runs it.
benchmarks="
dispatch trace-bench
sandbox  trace-bench
chain    trace-bench
scale    trace-bench
idle     trace-bench
revocation trace-bench
query    trace-query-bench
egress   trace-egress-bench
"

wanted=${1:-}
names=$(awk -v wanted="$wanted" 'NF && (wanted == "" || $1 == wanted) { print $1 }' <<<"$benchmarks")
if [ -z "$names" ]; then
    echo "bench: there is no benchmark \`$wanted\`; there are:" $(awk 'NF { print $1 }' <<<"$benchmarks") >&2
    exit 2
fi
runner() { awk -v name="$1" '$1 == name { print $2 }' <<<"$benchmarks"; }

# The whole workspace is selected, so that features, and with them what is compiled, are those of the
# programs that people use.
programs=(trace query-service egress-gateway trace-operator trace-udf-native)
for name in $names; do programs+=("$(runner "$name")"); done
cargo build --release --locked --workspace --exclude trace-hostile \
    $(printf '%s\n' "${programs[@]}" | sort -u | sed 's/^/--bin /') >&2

target=${CARGO_TARGET_DIR:-target}/release
run() {
    case $1 in
        query) "$target/trace-query-bench" --tools "$TRACE_BENCH_TOOLS" --cache "$cache/bench" ;;
        egress) "$target/trace-egress-bench" ;;
        *) "$target/trace-bench" "$1" --json ;;
    esac
}
failed=0
for name in $names; do
    run "$name" || { echo "bench: \`$name\` failed" >&2; failed=1; }
done
exit "$failed"
