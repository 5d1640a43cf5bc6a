#!/usr/bin/env bash
# Builds the images, pushes them, and prints the `images` of terraform.tfvars, by digest. Needs Docker with buildx,
# the AWS CLI logged in, and the digests of the bases (docs/terraform.md):
#   REGISTRY=123456789012.dkr.ecr.eu-west-1.amazonaws.com RUST_IMAGE=… BASE_IMAGE=… PYTHON_IMAGE=… BUSYBOX_IMAGE=… terraform/images/build.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${REGISTRY:?the registry that terraform/bootstrap made}"
for base in RUST_IMAGE BASE_IMAGE PYTHON_IMAGE BUSYBOX_IMAGE; do
    [[ ${!base:-} =~ @sha256:[0-9a-f]{64}$ ]] || { echo "build: $base has to end in @sha256: and a digest" >&2; exit 1; }
done
[ -z "$(git status --porcelain)" ] || { echo "build: there are changes that are not committed" >&2; exit 1; }
targets=(dispatcher query worker egress runner configure)
tag=$(git rev-parse --short=12 HEAD)
platform=${PLATFORM:-linux/amd64}
mkdir -p target/images

for target in "${targets[@]}"; do
    base=$BASE_IMAGE
    [ "$target" != runner ] || base=$PYTHON_IMAGE
    docker buildx build --file terraform/images/Dockerfile --target "$target" --platform "$platform" \
        --build-arg RUST_IMAGE="$RUST_IMAGE" --build-arg BASE_IMAGE="$BASE_IMAGE" --build-arg PYTHON_IMAGE="$PYTHON_IMAGE" --build-arg BUSYBOX_IMAGE="$BUSYBOX_IMAGE" \
        --label org.opencontainers.image.revision="$(git rev-parse HEAD)" --label org.opencontainers.image.base.name="$base" \
        --provenance=mode=max --tag "$REGISTRY/trace/$target:$tag" --metadata-file "target/images/$target.json" --push . >&2
done

echo "images = {"
for target in "${targets[@]}"; do
    digest=$(grep -o '"containerimage.digest": *"[^"]*"' "target/images/$target.json" | cut -d'"' -f4)
    echo "  $target = \"$REGISTRY/trace/$target@$digest\""
done
echo "}"
