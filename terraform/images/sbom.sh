#!/usr/bin/env bash
# Writes a software bill of materials (CycloneDX JSON) of each service's binary to target/sbom, from Cargo.lock: what
# is compiled in, with versions, licences and hashes. The base images are not in it; their publishers' are.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=0.5.9
cache=${TRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trace}
if ! "$cache/tools/bin/cargo-cyclonedx" cyclonedx --version 2>/dev/null | grep -qF "$version"; then
    echo "sbom: building cargo-cyclonedx $version (once)" >&2
    cargo install --quiet cargo-cyclonedx --version "$version" --locked --root "$cache/tools"
fi
mkdir -p target/sbom
for manifest in dispatcher query-service worker-wrapper worker-wrapper/operators egress-gateway udf-sdk/runner udf-sdk/native; do
    PATH="$cache/tools/bin:$PATH" cargo cyclonedx --manifest-path "$manifest/Cargo.toml" --format json --spec-version 1.5 --describe binaries --target x86_64-unknown-linux-gnu
    find "$manifest" -maxdepth 1 -name '*.cdx.json' -exec mv {} target/sbom/ \;
done
ls target/sbom
