#!/usr/bin/env bash
# Checks every SQL statement against a throwaway PostgreSQL with the current migrations, and writes
# what the compiler needs to check them without one into .sqlx.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(dirname "$(command -v initdb || ls -d /usr/lib/postgresql/*/bin/initdb | sort -V | tail -1)")
[ -x "$bin/pg_ctl" ] || bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
dir=$(mktemp -d /tmp/trace-sqlx.XXXXXX)
as_owner() { "$@"; }
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$dir"
    as_owner() { (cd / && setpriv --reuid postgres --regid postgres --init-groups "$@"); }
fi
finish() {
    as_owner "$bin/pg_ctl" -D "$dir/data" -m immediate -s stop || true
    rm -rf "$dir"
}
trap finish EXIT
as_owner "$bin/initdb" -D "$dir/data" -U postgres -A trust >/dev/null
as_owner "$bin/pg_ctl" -D "$dir/data" -s -w -l "$dir/log" -o "-k $dir -c listen_addresses=''" start
export DATABASE_URL="postgres://postgres@localhost/postgres?host=$dir"
for migration in dispatcher/migrations/*.sql; do
    psql -h "$dir" -U postgres -q -v ON_ERROR_STOP=1 -f "$migration"
done
rm -rf .sqlx && mkdir .sqlx
touch dispatcher/src/lib.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$PWD/.sqlx" cargo check --workspace
ls .sqlx | wc -l
