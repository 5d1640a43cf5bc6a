-- Attempts that run in a container of their own: the ticket that their runner redeems, and what it reports
-- until the worker has taken it. See docs/adr/0020-launch-tickets.md. Rows of attempts that are over are
-- removed by whoever writes a ticket.
set local lock_timeout = '10s';

create table launches (
    attempt_id     bigint primary key,
    ticket_sha256  bytea not null unique check (octet_length(ticket_sha256) = 32),
    expires_at     timestamptz not null,
    -- Of the runner that has redeemed it. It never changes.
    nonce_sha256   bytea check (octet_length(nonce_sha256) = 32),
    redeemed_at    timestamptz,
    reported_bytes bigint not null default 0,
    check ((nonce_sha256 is null) = (redeemed_at is null))
);

create table launch_events (
    attempt_id bigint not null references launches on delete cascade,
    seq        bigint not null check (seq >= 0),
    event      text not null,
    primary key (attempt_id, seq)
);
