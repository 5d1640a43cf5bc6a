-- Limits, and what they hold back. A task that is due and under a limit is admitted to `ready` when
-- every limit over it has room, and waits in `held` until then. One that is under no limit never
-- touches these tables. See docs/limits.md and docs/adr/0011-limits-admit-before-ready.md.

-- What an admin has set for an org; absent is no bound.
create table org_limits (
    org_id        bigint primary key references orgs,
    tasks_at_once integer check (tasks_at_once > 0),
    runs_an_hour  integer check (runs_an_hour > 0),
    queued_tasks  integer check (queued_tasks > 0)
);

-- Counters of limits, changed together with `slots` under the lock of the org's admission. `key` is
-- the org, the DAG, or the dataset that the job makes. `max` is what the org or the current version of
-- the DAG says; null where it says nothing any more and older runs are still counted.
create table limits_in_use (
    scope  text not null check (scope in ('org', 'dag', 'job')),
    key    bigint not null,
    max    integer check (max > 0),
    in_use integer not null default 0 check (in_use >= 0),
    primary key (scope, key)
) with (fillfactor = 50);

-- Token buckets of jobs with a rate; null in both columns of the rate where the current version of the
-- DAG has none any more.
create table rate_buckets (
    dataset_id     bigint primary key,
    tasks          integer check (tasks > 0),
    period_seconds integer check (period_seconds > 0),
    tokens         double precision not null check (tokens >= 0),
    refilled_at    timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

-- The tasks in `ready` and `leases` that count under limits, each with what it counts under: its org
-- always, its DAG and its job where they have a limit, else 0.
create table slots (
    task_id    bigint primary key,
    org_id     bigint not null,
    dag_id     bigint not null default 0,
    dataset_id bigint not null default 0
);

-- Due, and waiting for room. `rank` is the order: when the task came, moved back by its priority.
create table held (
    task_id    bigint primary key,
    org_id     bigint not null,
    dag_id     bigint not null default 0,
    dataset_id bigint not null default 0,
    priority   smallint not null,
    rank       timestamptz not null,
    held_at    timestamptz not null,
    failures   smallint not null,
    losses     smallint not null
);

create index held_in_line on held (org_id, dataset_id, dag_id, rank, task_id);

-- Tasks of priority 0 have no rank and are claimed by their number, as they were.
alter table ready add column rank timestamptz;
create index ready_by_rank on ready (rank, task_id) where rank is not null;

-- For back-pressure: what the running runs of an org have open.
create index runs_running on runs (org_id) where state = 'running';

-- For `trace why`.
alter table runs add column cancelled_by bigint references users;
alter table workers add column last_claim_at timestamptz;

-- Whether an org bounds its tasks at once. Whoever changes tasks of a run asks this after locking the
-- run, and until it ends nobody can change the answer: setting the limit takes the same lock alone, and
-- then finds every task where it is. Being volatile, the function sees what was committed while it
-- waited, whatever the statement that calls it sees.
create function org_has_limit(org bigint) returns boolean language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('trace.org_limits'), org::integer);
    return exists (select from org_limits l where l.org_id = org and l.tasks_at_once is not null);
end
$$;
