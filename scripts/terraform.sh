#!/usr/bin/env bash
# Terraform's own checks, a static scan, and every environment applied to an emulated AWS; see docs/terraform.md.
#   scripts/terraform.sh [--only dev|staging|prod|bootstrap] [--keep]
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'terraform: %s\n' "$*" >&2; }

if ! command -v terraform >/dev/null; then
    say "terraform is not on the PATH. Install 1.11.4 or later from HashiCorp (https://developer.hashicorp.com/terraform/install) or your package manager, and run this again."
    exit 3
fi
mapfile -t folders < <(scripts/setup.sh terraform)
python="${folders[0]}/bin/python"
lint="${folders[1]}/bin"

# A machine without a way to the registry may have the provider in a folder, laid out as
# `registry.terraform.io/hashicorp/aws/VERSION/PLATFORM/`: the folder six levels above the file is what `init` takes.
version=$(sed -nE 's/^ *version *= *"= ([0-9.]+)".*/\1/p' terraform/bootstrap/versions.tf)
if [ -z "${TRACE_TERRAFORM_PLUGINS:-}" ]; then
    found=$(find / -xdev -path /proc -prune -o -name "terraform-provider-aws_v${version}_x5" -path "*/registry.terraform.io/hashicorp/aws/*" -not -path "*/.terraform/*" -print -quit 2>/dev/null || true)
    [ -z "$found" ] || TRACE_TERRAFORM_PLUGINS=$(cd "$(dirname "$found")/../../../../.." && pwd)
fi
export TRACE_TERRAFORM_PLUGINS=${TRACE_TERRAFORM_PLUGINS:-}
if [ -z "$TRACE_TERRAFORM_PLUGINS" ]; then
    say "the provider is fetched from the registry"
    trial=$(mktemp -d "${TMPDIR:-/tmp}/trace-terraform-trial.XXXXXX")
    sed '/^provider/,$d' terraform/bootstrap/versions.tf >"$trial/versions.tf"
    cp terraform/bootstrap/.terraform.lock.hcl "$trial"
    # 3: this machine can't; a finding is 1.
    timeout 300 terraform -chdir="$trial" init -backend=false -input=false >&2 || { rm -rf "$trial"; say "the registry can't be reached, and there is no provider on this machine"; exit 3; }
    rm -rf "$trial"
fi

terraform fmt -check -recursive -diff terraform
"$lint/hadolint" terraform/images/Dockerfile
say "whether the images' context has what they are built from"
context=$(mktemp -d "${TMPDIR:-/tmp}/trace-context.XXXXXX")
sed -n 's/^!//p' terraform/images/Dockerfile.dockerignore | xargs git ls-files -z -- | tar --create --null --files-from=- | tar --extract --directory "$context"
cargo metadata --locked --offline --format-version 1 --manifest-path "$context/Cargo.toml" >/dev/null || { rm -rf "$context"; exit 1; }
for file in scripts/release.sh $(sed -nE 's/^COPY (terraform[^ ]+) .*/\1/p' terraform/images/Dockerfile); do
    [ -e "$context/$file" ] || { say "$file is not in the images' context: see Dockerfile.dockerignore"; rm -rf "$context"; exit 1; }
done
rm -rf "$context"
say "checkov"
"$lint/checkov" --directory terraform --framework terraform dockerfile --quiet --compact --skip-download --config-file terraform/tests/checkov.yaml
if [ -z "${TRACE_PROGRAMS:-}" ]; then
    say "the programs that are asked whether they read what is rendered for them"
    SQLX_OFFLINE=true cargo build --quiet --locked --workspace --exclude trace-hostile --bin dispatcher --bin query-service \
        --bin worker-wrapper --bin egress-gateway --bin trace-runner
fi
exec "$python" -B terraform/tests/run.py "$@"
