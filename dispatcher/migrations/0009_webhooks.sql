-- Webhooks: where an org's deliveries go, and the deliveries themselves. A delivery's state is told by which
-- table it is in: `due_deliveries` until it has ended, `delivery_ends` from then on. See docs/webhooks.md and
-- docs/adr/0026-deliveries-are-claimed-and-signed-here.md.
set local lock_timeout = '10s';

create table webhooks (
    webhook_id   bigint generated always as identity primary key,
    org_id       bigint not null references orgs,
    name         text not null check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    -- What the rules of egress are asked about: `hooks.example.com:443`.
    destination  text not null check (octet_length(destination) between 3 and 300),
    -- Path and query, sealed with the dispatchers' sealing key: receivers put secrets there.
    seal_id      uuid not null unique,
    target       bytea not null check (octet_length(target) between 29 and 2200),
    -- Which sealing key it was, for this row and for its keys.
    sealed_by    bytea not null check (octet_length(sealed_by) = 16),
    added_by     bigint not null references users,
    added_at     timestamptz not null default now(),
    -- Nothing is sent there until an admin enables it again.
    disabled_at  timestamptz,
    disabled_why text check (octet_length(disabled_why) between 1 and 300),
    -- Kept for the deliveries that name it; its keys are gone.
    removed_at   timestamptz,
    check ((disabled_at is null) = (disabled_why is null))
);

create unique index webhooks_by_name on webhooks (org_id, name) where removed_at is null;
create index webhooks_of_org on webhooks (org_id, name);

-- Keys that sign what is sent to a webhook, sealed. Two while they rotate.
create table webhook_keys (
    key_id      uuid primary key,
    webhook_id  bigint not null references webhooks,
    sealed      bytea not null check (octet_length(sealed) between 29 and 200),
    created_at  timestamptz not null default now(),
    -- Null for the one that signs until it is rotated.
    signs_until timestamptz
);

create unique index webhook_keys_current on webhook_keys (webhook_id) where signs_until is null;
create index webhook_keys_of on webhook_keys (webhook_id);

-- How a webhook's receiver has done of late: one row a webhook, so that all gateways agree on it.
create table webhook_circuits (
    webhook_id bigint primary key references webhooks,
    -- Deliveries that failed since the last one that succeeded.
    failures   integer not null default 0 check (failures >= 0),
    -- Nothing is sent before then.
    open_until timestamptz,
    -- When some of its deliveries were last given out: who waited longest is next.
    served_at  timestamptz not null default '-infinity'
) with (fillfactor = 50);

-- What is to be sent, written by the transaction of the event it tells of. No foreign keys, as with all tables
-- that the fenced transactions write: each would cost a row lock.
create table deliveries (
    delivery_id bigint generated always as identity primary key,
    -- The same however often it is sent: the receiver's means against sending twice.
    message_id  uuid not null default gen_random_uuid(),
    webhook_id  bigint not null,
    org_id      bigint not null,
    event       text not null check (event in ('run_finished', 'task_dead', 'dataset_published', 'task_message')),
    dag         text not null,
    run_id      bigint not null,
    task_id     bigint,
    -- Of a task's own message: the attempt that sent it first, and the key that the task gave it.
    attempt_id  bigint,
    message_key text check (octet_length(message_key) between 1 and 128),
    body        text not null check (octet_length(body) <= 81920),
    created_at  timestamptz not null default now(),
    check ((event = 'task_message') = (message_key is not null)),
    check ((message_key is null) = (attempt_id is null)),
    check (task_id is not null or message_key is null)
);

create unique index deliveries_once on deliveries (task_id, webhook_id, message_key) where message_key is not null;
create index deliveries_of_org on deliveries (org_id, delivery_id desc);

create table due_deliveries (
    delivery_id bigint primary key references deliveries,
    webhook_id  bigint not null,
    -- When it may be sent; while it is claimed, when the claim ends.
    due_at      timestamptz not null default now(),
    tries       integer not null default 0 check (tries >= 0),
    -- Who sends it now.
    claim_id    uuid,
    -- Its age counts from here: from the event, or from when an admin had it sent again.
    since       timestamptz not null default now(),
    -- What came of the last try: a status of HTTP, or nothing where there was no answer.
    last_status smallint
) with (fillfactor = 70, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.2);

create index due_deliveries_by_time on due_deliveries (webhook_id, due_at);

create table delivery_ends (
    delivery_id bigint primary key references deliveries,
    state       text not null check (state in ('delivered', 'dead')),
    -- Why it is dead.
    reason      text,
    tries       integer not null,
    last_status smallint,
    ended_at    timestamptz not null default now(),
    check ((state = 'dead') = (reason is not null))
);

create index delivery_ends_dead on delivery_ends (delivery_id) where state = 'dead';
