#!/bin/sh
# Writes what a service reads into /run/trace, before it starts: public keys and authorities, its own certificate and
# key where it has one, and its configuration (configure.awk). It prints no value.
set -eu
umask 077
write() { printf %s "$2" > "/run/trace/$1"; }
write root.pem "${TRACE_ROOT:-}"
write ca.pem "${TRACE_CA:-}"
write database-ca.pem "${TRACE_DATABASE_CA:-}"
if [ -n "${TRACE_SECRET_tls_key:-}" ]; then
    write tls.pem "${TRACE_SECRET_tls_certificate:?}"
    write tls.key "$TRACE_SECRET_tls_key"
fi
exec awk -f /configure.awk > /run/trace/config.json
