#!/usr/bin/env bash
# Installs what the commands of the Makefile need and this machine lacks. Quick when nothing is missing.
#   scripts/setup.sh run     to build and run: a C compiler, PostgreSQL, python3
#   scripts/setup.sh test    also what the tests check against: the AWS CLI, pyarrow, pandas and polars, pinned and hashed
#   scripts/setup.sh bench   also what the benchmarks compare with: bubblewrap, DuckDB and tpchgen-cli; prints the folder of the latter
#   scripts/setup.sh lint    also cargo-deny
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}
cache=${TRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trace}

say() { printf 'setup: %s\n' "$*" >&2; }

apt_install() {
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { say "please install: $*"; exit 1; }
        sudo=(sudo)
    fi
    command -v apt-get >/dev/null || { say "please install with your system's package manager: $*"; exit 1; }
    say "installing $*"
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

[ "$(uname -s)" = Linux ] || { say "Trace confines tasks with Linux namespaces; run it on Linux (on macOS: in a Linux virtual machine)"; exit 1; }
command -v cargo >/dev/null || { say "please install Rust first: https://rustup.rs"; exit 1; }

missing=()
command -v cc >/dev/null || missing+=(build-essential)
command -v python3 >/dev/null || missing+=(python3)
if ! command -v initdb >/dev/null && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    missing+=(postgresql)
fi
if [ "$what" = bench ]; then
    command -v bwrap >/dev/null || missing+=(bubblewrap)
fi
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"

if [ "$what" = test ]; then
    wanted=$(sha256sum scripts/requirements-test.txt | cut -c1-16)
    venv="$cache/venv-$wanted"
    if [ ! -e "$venv/.complete" ]; then
        python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
        say "setting up the AWS CLI, pyarrow, pandas and polars in $venv"
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --require-hashes --only-binary :all: -r scripts/requirements-test.txt >&2
        touch "$venv/.complete"
    fi
fi

if [ "$what" = bench ]; then
    wanted=$(sha256sum scripts/requirements-bench.txt | cut -c1-16)
    venv="$cache/bench-$wanted"
    if [ ! -e "$venv/.complete" ]; then
        python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
        say "setting up DuckDB and tpchgen-cli in $venv"
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --require-hashes --only-binary :all: -r scripts/requirements-bench.txt >&2
        touch "$venv/.complete"
    fi
    printf '%s\n' "$venv"
fi

if [ "$what" = lint ]; then
    version=0.20.2
    if ! "$cache/tools/bin/cargo-deny" --version 2>/dev/null | grep -qF "$version"; then
        say "building cargo-deny $version (once)"
        cargo install --quiet cargo-deny --version "$version" --locked --root "$cache/tools"
    fi
fi
