#!/usr/bin/env bash
# The whole platform in one process, on real data: starts it, deploys and runs the demo DAGs with the
# public command line, prints what they published, and stops it. The last line says how it went.
# KEEP=1 leaves the data folder there.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

trace=${TRACE_BIN:-target/debug/trace}
work=$(mktemp -d "${TMPDIR:-/tmp}/trace-demo.XXXXXX")
data=$work/data
platform=
reason="it was interrupted"
started=$(date +%s.%N)
# What selects a platform comes from this script alone.
unset TRACE_URL TRACE_TOKEN
export TRACE_DATA_DIR=$data

say() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }

# Stops the platform as a user would, and waits for it.
stop_platform() {
    [[ -n $platform ]] || return 0
    local pid=$platform
    platform=
    kill -INT "$pid" 2>/dev/null || true
    # A platform that hangs is no good, and must not hang this script.
    if ! timeout 90 tail --pid="$pid" -f /dev/null; then
        kill -KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid"
}

finish() {
    local code=$?
    trap - EXIT ERR INT TERM
    stop_platform || true
    if ((code != 0)); then
        if [[ -s $work/up.log ]]; then
            say "The platform's last words"
            tail -n 40 "$work/up.log" >&2
        fi
        python3 -c 'import json, sys; print(json.dumps({"demo": "failed", "reason": sys.argv[1]}, separators=(",", ":")))' "$reason"
        code=1
    fi
    if [[ ${KEEP:-} == 1 ]]; then
        echo "kept $work" >&2
    else
        rm -rf "$work"
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 1' ERR
trap 'exit 130' INT TERM

reason="the programs are not built: run \`cargo build --workspace --exclude trace-hostile\`"
[[ -x $trace ]]

say "Starting the platform in $data"
reason="the platform did not get ready"
mkfifo "$work/ready"
"$trace" up --data-dir "$data" --listen 127.0.0.1:0 --org main --org rival >"$work/ready" 2>"$work/up.log" &
platform=$!
exec 3<"$work/ready"
# Ends early, with an error, when the platform does.
read -r -t 180 line <&3
[[ $line == ready\ * ]]
echo "$line" >&2

say "As rival: a DAG with a dataset that main must not see"
reason="the rival's DAG did not succeed"
rival=$(<"$data/tokens/rival-admin.jwt")
TRACE_TOKEN=$rival "$trace" deploy dags/rival.yaml
TRACE_TOKEN=$rival "$trace" trigger rival --wait

say "As main: the flights of 2013"
reason="the flights DAG could not be deployed"
"$trace" deploy dags/flights.yaml
reason="the flights DAG did not succeed"
"$trace" trigger flights --wait --json >"$work/run.json"
run=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["run"])' "$work/run.json")
"$trace" tasks "$run" --json >"$work/tasks.json"

reason="the published datasets could not be queried"
"$trace" datasets --json >"$work/datasets.json"
python3 -c 'import json, sys; print(*(d["name"] for d in json.load(open(sys.argv[1]))), sep="\n")' \
    "$work/datasets.json" >"$work/names"
while read -r name; do
    [[ $name != intruder_report ]] || continue
    say "$name"
    "$trace" query "SELECT * FROM $name ORDER BY 1, 2 LIMIT 15"
done <"$work/names"

reason="the intruder's report could not be queried"
say "What the hostile UDF tried, and which plane denied it"
"$trace" query "SELECT plane, vector, target, denied FROM intruder_report ORDER BY plane, vector"
"$trace" query "SELECT * FROM intruder_report" --format json >"$work/report.json"

say "Stopping the platform"
reason="the platform did not stop cleanly"
stop_platform

reason="the figures are not what a good run has: see the tables above"
python3 - "$work/tasks.json" "$work/report.json" "$started" <<'PYTHON'
import json
import sys
import time

tasks_file, report_file, started = sys.argv[1:]
with open(tasks_file) as file:
    states = [task["state"] for task in json.load(file)]
with open(report_file) as file:
    report = json.load(file)
denied_at = [column["name"] for column in report["columns"]].index("denied")
denied = [row[denied_at] for row in report["rows"]]

summary = {
    "demo": "ok",
    "tasks_succeeded": states.count("succeeded"),
    "tasks_dead": states.count("dead"),
    "denials": denied.count(True),
    "seconds": round(time.time() - float(started), 1),
}
good = (
    summary["tasks_succeeded"] >= 24
    and summary["tasks_succeeded"] == len(states)
    and summary["tasks_dead"] == 0
    and summary["denials"] >= 6
    and summary["denials"] == len(denied)
)
if not good:
    print(json.dumps({**summary, "demo": "failed"}, separators=(",", ":")), file=sys.stderr)
    for row in report["rows"]:
        if row[denied_at] is not True:
            print("not denied:", *row, file=sys.stderr)
    sys.exit(1)
print(json.dumps(summary, separators=(",", ":")))
PYTHON
