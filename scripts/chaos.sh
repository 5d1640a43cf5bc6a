#!/usr/bin/env bash
# Chaos runs: a whole platform, broken as seeds say, and checked afterwards. See docs/chaos.md.
#   SEEDS=0..100 TASKS=2000 LAUNCHER=process|scripted scripts/chaos.sh
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${SEEDS:-0..100}
tasks=${TASKS:-2000}
if [ "$(id -u)" -ne 0 ]; then
    echo "chaos: it mounts small disks to fill them, and moves into control groups: run it as root" >&2
    exit 1
fi
SQLX_OFFLINE=true cargo build --workspace --exclude trace-hostile --locked --bin trace-chaos >&2
exec target/debug/trace-chaos --seeds "$seeds" --tasks "$tasks" ${LAUNCHER:+--launcher "$LAUNCHER"}
