-- The state database. Conventions: ids are bigint, times are the database's own clock, and a task's
-- state is told by which table its row is in, so that no two columns can contradict:
--   ready       queued
--   delayed     failed, and waiting for its next try
--   leases      running
--   commits     succeeded
--   task_ends   dead or cancelled
--   none        waiting for its inputs; or, once the run has ended, skipped
-- `ready`, `delayed` and `leases` are small tables to insert into and delete from; everything that
-- grows (commits, attempts, logs, audit) is only ever appended to.
--
-- A task's id is its run's number and its place in what the run lists: run_id << 20 | place, where
-- places go by the order of jobs in the DAG and of partitions in a job. So every task has its id
-- from the start, and needs no row until something happens to it. The version that a run puts into
-- a job's dataset has the id of the job's first task, and the tasks of a version are the ids from
-- there on.
--
-- The tables that every task passes through have no foreign keys: each would cost a row lock and
-- its log record for every row, and the fenced transactions of `src/task`, their only writers, hold
-- the run's row while they write. Everything that people set up has them.

create table orgs (
    org_id     bigint generated always as identity primary key,
    slug       text not null unique check (slug ~ '^[a-z][a-z0-9_]{0,62}$'),
    created_at timestamptz not null default now()
);

create table users (
    user_id      bigint generated always as identity primary key,
    org_id       bigint not null references orgs,
    issuer       text not null,
    external_id  text not null,
    email        text,
    role         text not null check (role in ('reader', 'writer', 'operator', 'admin', 'auditor')),
    suspended_at timestamptz,
    created_at   timestamptz not null default now(),
    unique (issuer, external_id)
);

-- Workers and planes: who may call /internal. Only the hash of the token is kept.
create table workers (
    worker_id    bigint generated always as identity primary key,
    name         text not null unique,
    kind         text not null check (kind in ('worker', 'plane')),
    token_sha256 bytea not null unique check (octet_length(token_sha256) = 32),
    created_at   timestamptz not null default now(),
    revoked_at   timestamptz
);

-- Bundles and input files, by content, for each org.
create table blobs (
    org_id     bigint not null references orgs,
    sha256     bytea not null check (octet_length(sha256) = 32),
    size       bigint not null check (size >= 0),
    created_at timestamptz not null default now(),
    primary key (org_id, sha256)
);

create table dags (
    dag_id          bigint generated always as identity primary key,
    org_id          bigint not null references orgs,
    name            text not null,
    current_version bigint,
    created_at      timestamptz not null default now(),
    unique (org_id, name)
);

create table dag_versions (
    dag_version_id bigint generated always as identity primary key,
    dag_id         bigint not null references dags,
    sha256         bytea not null check (octet_length(sha256) = 32),
    yaml           text not null,
    spec           jsonb not null,
    deployed_by    bigint not null references users,
    deployed_at    timestamptz not null default now(),
    unique (dag_id, sha256)
);

alter table dags add foreign key (current_version) references dag_versions;

-- Everything a job produces is a dataset; one with a name is published.
create table datasets (
    dataset_id      bigint generated always as identity primary key,
    org_id          bigint not null references orgs,
    dag_id          bigint not null references dags,
    job             text not null,
    name            text,
    read_roles      text[] not null default '{}',
    current_version bigint,
    created_at      timestamptz not null default now(),
    unique (dag_id, job),
    unique (org_id, name)
);

create table runs (
    run_id          bigint generated always as identity primary key,
    org_id          bigint not null references orgs,
    dag_version_id  bigint not null references dag_versions,
    state           text not null default 'running' check (state in ('running', 'succeeded', 'failed', 'cancelled')),
    params          jsonb not null default '{}',
    -- Datasets of other DAGs, pinned when the run started: {"name": dataset_version_id}.
    pins            jsonb not null default '{}',
    triggered_by    bigint not null references users,
    idempotency_key text,
    -- Tasks that the version lists; of these the planned ones that have not ended, the succeeded
    -- and the dead. What is neither planned nor skipped waits. Changed under the row's lock only.
    tasks_total     integer not null check (tasks_total > 0),
    tasks_open      integer not null default 0 check (tasks_open between 0 and tasks_total),
    tasks_succeeded integer not null default 0 check (tasks_succeeded between 0 and tasks_total),
    tasks_dead      integer not null default 0 check (tasks_dead between 0 and tasks_total),
    created_at      timestamptz not null default now(),
    finished_at     timestamptz,
    check ((state = 'running') = (finished_at is null)),
    unique (dag_version_id, idempotency_key)
);

create index runs_recent on runs (org_id, run_id desc);

-- One for each job of a run. Current once `partitions_done` reaches `partitions_total`; the manifest
-- of the whole version is written in that same transaction. A version of one partition has the
-- manifest of its only commit, which is not written a second time.
create table dataset_versions (
    dataset_version_id bigint primary key,
    dataset_id         bigint not null references datasets,
    partitions_total   integer not null check (partitions_total > 0),
    partitions_done    integer not null default 0 check (partitions_done between 0 and partitions_total),
    manifest_sha256    bytea,
    manifest           text,
    objects            bigint,
    bytes              bigint,
    completed_at       timestamptz,
    check ((partitions_done = partitions_total) = (completed_at is not null)),
    check ((completed_at is null) = (manifest_sha256 is null)),
    check ((manifest is not null) = (completed_at is not null and partitions_total > 1))
) with (fillfactor = 70);

alter table datasets add foreign key (current_version) references dataset_versions;

-- When a version became its dataset's current one.
create table cut_overs (
    cut_over_id        bigint generated always as identity primary key,
    dataset_id         bigint not null references datasets,
    dataset_version_id bigint not null references dataset_versions,
    at                 timestamptz not null default now()
);

-- Dead rows of the tables that churn are cleared away early, while they are still in memory.
create table ready (
    task_id    bigint primary key,
    ready_at   timestamptz not null default now(),
    -- Tries that count, and tries that do not because the worker was lost.
    failures   smallint not null default 0,
    losses     smallint not null default 0
) with (autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);

create table delayed (
    task_id    bigint primary key,
    not_before timestamptz not null,
    failures   smallint not null,
    losses     smallint not null
);

create index delayed_by_time on delayed (not_before);

-- Dispatchers reserve numbers in blocks of this size (`ATTEMPT_BLOCK`).
create sequence attempt_ids increment by 10000;

create table leases (
    attempt_id  bigint primary key,
    task_id     bigint not null,
    worker_id   bigint not null,
    lease_token uuid not null,
    failures    smallint not null,
    losses      smallint not null,
    started_at  timestamptz not null default now(),
    expires_at  timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);

-- What a claim was given, so that a worker whose reply was lost is given the same again. Kept for
-- longer than any worker asks.
create table claims (
    claim_id   uuid,
    worker_id  bigint,
    attempts   bigint[] not null,
    claimed_at timestamptz not null default now(),
    primary key (claim_id, worker_id)
);

-- Attempts that ended without a commit. A running one is in `leases`, one that succeeded in `commits`.
create table attempts (
    attempt_id  bigint primary key,
    task_id     bigint not null,
    worker_id   bigint not null,
    lease_token uuid not null,
    started_at  timestamptz not null,
    ended_at    timestamptz not null default now(),
    outcome     text not null,
    detail      text
);

create index attempts_by_task on attempts (task_id);

create table task_ends (
    task_id  bigint primary key,
    state    text not null check (state in ('dead', 'cancelled')),
    ended_at timestamptz not null default now()
);

create index dead_letters on task_ends (task_id) where state = 'dead';

-- Tasks that succeeded, and the attempts that did it. What readers read by: one manifest for each
-- task, for ever.
create table commits (
    task_id         bigint primary key,
    attempt_id      bigint not null,
    worker_id       bigint not null,
    lease_token     uuid not null,
    started_at      timestamptz not null,
    committed_at    timestamptz not null default now(),
    manifest_sha256 bytea not null check (octet_length(manifest_sha256) = 32),
    manifest        text not null
);

create table checkpoints (
    task_id    bigint primary key,
    attempt_id bigint not null,
    body       bytea not null check (octet_length(body) <= 65536),
    updated_at timestamptz not null default now()
);

create table log_lines (
    attempt_id bigint not null,
    seq        bigint not null,
    at         timestamptz not null,
    stream     text not null check (stream in ('stdout', 'stderr', 'platform')),
    text       text not null,
    primary key (attempt_id, seq)
);

-- One append-only log that every plane writes to.
create table audit (
    audit_id   bigint generated always as identity primary key,
    at         timestamptz not null default now(),
    org_id     bigint not null,
    plane      text not null check (plane in ('dispatcher', 'query', 'object_store', 'sandbox', 'egress')),
    user_id    bigint,
    task_id    bigint,
    attempt_id bigint,
    action     text not null,
    object     text not null,
    verdict    text not null check (verdict in ('allow', 'deny')),
    detail     jsonb not null default '{}'
);

create index audit_by_org on audit (org_id, audit_id desc);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end
$$;

create trigger audit_is_append_only before update or delete or truncate on audit
    for each statement execute function refuse_change();
create trigger commits_are_append_only before update or delete or truncate on commits
    for each statement execute function refuse_change();
