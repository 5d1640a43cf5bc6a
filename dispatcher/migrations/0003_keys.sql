-- The keys that sign capabilities, as far as everybody may know them; their private halves never leave the
-- dispatchers' key folder. One key signs at a time, and every dispatcher asks here which. See
-- docs/adr/0013-key-ring.md.
set local lock_timeout = '10s';

create table signing_keys (
    kid        text primary key check (kid ~ '^[A-Za-z0-9_-]{43}$'),
    -- The public half: coordinates on P-256, in Base64 for addresses.
    x          text not null check (octet_length(x) = 43),
    y          text not null check (octet_length(y) = 43),
    signs_from timestamptz not null,
    -- No token was signed by it from then on, so that whoever holds one began before.
    stopped_at timestamptz,
    -- What it signed is believed until then.
    retires_at timestamptz,
    revoked_at timestamptz,
    revoked_by bigint references users,
    reason     text,
    check ((stopped_at is null) = (retires_at is null)),
    check (revoked_at is null or stopped_at is not null)
);

create unique index signing_keys_one_signs on signing_keys ((true)) where stopped_at is null;

-- Which key signed the capability behind an access.
alter table audit add column kid text;
create index audit_by_kid on audit (kid, audit_id) where kid is not null;

-- For suspensions: the runs of a user that are under way.
create index runs_running_of on runs (triggered_by) where state = 'running';
