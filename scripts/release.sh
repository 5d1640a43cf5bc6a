#!/usr/bin/env bash
# Builds programs in release, for the processors that they are to run on:
#   scripts/release.sh --bin trace --bin query-service
# On x86-64 that is `x86-64-v3` (AVX2: Intel since 2013, AMD since 2015, every x86-64 instance that AWS starts
# today), because queries are faster with it. TRACE_TARGET_CPU=x86-64 builds for older ones, on which programs
# built for newer ones end with an illegal instruction; `native` builds for this machine alone.
set -euo pipefail
cd "$(dirname "$0")/.."
export SQLX_OFFLINE=true
cpu=${TRACE_TARGET_CPU:-}
if [ -z "$cpu" ] && [ "$(uname -m)" = x86_64 ]; then cpu=x86-64-v3; fi
if [ -n "$cpu" ]; then export RUSTFLAGS="-C target-cpu=$cpu ${RUSTFLAGS:-}"; fi
# The whole workspace is selected, so that features, and with them what is compiled, are the same whoever builds.
exec cargo build --release --locked --workspace --exclude trace-hostile "$@"
