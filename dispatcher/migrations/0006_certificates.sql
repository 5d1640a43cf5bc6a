-- What the root of trust says of a key that signs capabilities, where there is a root. See
-- docs/adr/0017-kms-certifies.md.
set local lock_timeout = '10s';

alter table signing_keys
    add column certificate text check (octet_length(certificate) <= 2048),
    add column certified_until timestamptz,
    add constraint signing_keys_certified check ((certificate is null) = (certified_until is null));
