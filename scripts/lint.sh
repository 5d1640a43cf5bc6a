#!/usr/bin/env bash
# Formatting, lints, licences and sources; and advisories where their database can be fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${TRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trace}
export SQLX_OFFLINE=true

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
# These need emulators, so that `cargo test` leaves them out, and `--all-targets` with it.
cargo clippy --workspace --locked --test localstack --test ecs -- -D warnings
"$cache/tools/bin/cargo-deny" --locked check bans licenses sources
if ! "$cache/tools/bin/cargo-deny" --locked fetch db >/dev/null 2>&1; then
    echo "lint: the advisory database can't be reached from here, so advisories were not checked" >&2
else
    "$cache/tools/bin/cargo-deny" --locked check advisories
fi
