#!/usr/bin/env bash
# Installs what the commands of the Makefile need and this machine lacks. Quick when nothing is missing.
#   scripts/setup.sh run     to build and run: a C compiler, PostgreSQL, python3
#   scripts/setup.sh test    also what the tests check against: the AWS CLI, SeaweedFS, pyarrow, pandas and polars, pinned and hashed
#   scripts/setup.sh bench   also what the benchmarks compare with: bubblewrap, DuckDB and tpchgen-cli; prints the folder of the latter
#   scripts/setup.sh localstack  also LocalStack, pinned and hashed; prints its folder
#   scripts/setup.sh moto    what the ECS launcher is tested with: moto and bubblewrap; prints moto's folder
#   scripts/setup.sh lint    also cargo-deny
#   scripts/setup.sh terraform   what Terraform is tested with: moto, boto3, checkov and hadolint; prints their two folders
#   scripts/setup.sh fuzz    also a nightly compiler and cargo-fuzz
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
if [ "$what" = bench ] || [ "$what" = moto ]; then
    command -v bwrap >/dev/null || missing+=(bubblewrap)
fi
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"

# A folder of Python programs, pinned and hashed: venv PREFIX REQUIREMENTS WHAT [PIP OPTIONS] sets it up and
# prints it. What is built from source is built by what BUILD_WITH pins, and by nothing that pip would fetch.
venv() {
    local folder prefix=$1 requirements=$2 what=$3
    shift 3
    folder="$cache/$prefix-$(sha256sum "$requirements" | cut -c1-16)"
    if [ ! -e "$folder/.complete" ]; then
        python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
        say "setting up $what in $folder"
        rm -rf "$folder"
        python3 -m venv "$folder"
        if [ -n "${BUILD_WITH:-}" ]; then
            "$folder/bin/pip" install --quiet --require-hashes --only-binary :all: -r "$BUILD_WITH" >&2
        fi
        "$folder/bin/pip" install --quiet --require-hashes --only-binary :all: "$@" -r "$requirements" >&2
        touch "$folder/.complete"
    fi
    printf '%s\n' "$folder"
}

if [ "$what" = test ]; then
    venv venv scripts/requirements-test.txt "the AWS CLI, SeaweedFS, pyarrow, pandas and polars" >/dev/null
fi

if [ "$what" = localstack ]; then
    # Four small packages of LocalStack are published as source alone.
    BUILD_WITH=scripts/requirements-localstack-build.txt venv localstack scripts/requirements-localstack.txt \
        "LocalStack (once, a few minutes)" --no-build-isolation --no-binary airspeed-ext,crontab,jsonpath-rw,tailer
fi

if [ "$what" = bench ]; then
    venv bench scripts/requirements-bench.txt "DuckDB and tpchgen-cli"
fi

if [ "$what" = moto ]; then
    venv terraform scripts/requirements-terraform.txt "moto and boto3"
fi

if [ "$what" = terraform ]; then
    venv terraform scripts/requirements-terraform.txt "moto and boto3"
    # Apart: checkov pins other versions of the same packages.
    venv terraform-lint scripts/requirements-terraform-lint.txt "checkov and hadolint"
fi

if [ "$what" = lint ]; then
    version=0.20.2
    if ! "$cache/tools/bin/cargo-deny" --version 2>/dev/null | grep -qF "$version"; then
        say "building cargo-deny $version (once)"
        cargo install --quiet cargo-deny --version "$version" --locked --root "$cache/tools"
    fi
fi

if [ "$what" = fuzz ]; then
    version=0.13.2
    rustup toolchain list 2>/dev/null | grep -q '^nightly' || rustup toolchain install nightly --profile minimal >&2
    if ! "$cache/tools/bin/cargo-fuzz" --version 2>/dev/null | grep -qF "$version"; then
        say "building cargo-fuzz $version (once)"
        cargo install --quiet cargo-fuzz --version "$version" --locked --root "$cache/tools"
    fi
fi
