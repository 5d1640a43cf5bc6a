#!/usr/bin/env bash
# Chaos runs: a whole platform, broken as seeds say, and checked afterwards. See docs/chaos.md.
#   SEEDS=0..100 TASKS=2000 LAUNCHER=process|scripted PROFILE=release|dev scripts/chaos.sh
# In release a seed takes a third of the time; `make test` takes what it has compiled anyway.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${SEEDS:-0..100}
tasks=${TASKS:-2000}
profile=${PROFILE:-release}
case $profile in
    release) folder=release build=scripts/release.sh ;;
    dev) folder=debug build="cargo build --workspace --exclude trace-hostile --locked" ;;
    *) echo "chaos: PROFILE is \`release\` or \`dev\`" >&2; exit 2 ;;
esac
if [ "$(id -u)" -ne 0 ]; then
    echo "chaos: it mounts small disks to fill them, and moves into control groups: run it as root" >&2
    exit 1
fi
SQLX_OFFLINE=true $build --bin trace-chaos >&2
exec "${CARGO_TARGET_DIR:-target}/$folder/trace-chaos" --seeds "$seeds" --tasks "$tasks" ${LAUNCHER:+--launcher "$LAUNCHER"}
