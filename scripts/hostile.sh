#!/usr/bin/env bash
# The hostile suite: attacks the ordinary platform, and, as a control of each attack, a platform in which
# one protection is off. See docs/hostile.md.
#   scripts/hostile.sh [--only VECTOR]…
set -euo pipefail
cd "$(dirname "$0")/.."
export SQLX_OFFLINE=true
if [ "$(id -u)" -ne 0 ]; then
    echo "hostile: each sandbox is to have a user of its own: run it as root" >&2
    exit 1
fi
# Two builds with two sets of features: what is attacked has no switch.
cargo build --workspace --exclude trace-hostile --locked --bins >&2
cargo build --workspace --locked --bin trace-hostile >&2
exec target/debug/trace-hostile "$@"
