-- Wake-ups that are to be sent to a queue outside the database, written by the transaction that makes their
-- tasks ready. Empty where the database itself is the queue. See docs/adr/0016-outbox.md.
set local lock_timeout = '10s';

create table outbox (
    outbox_id bigint generated always as identity primary key,
    task_id   bigint not null,
    -- Which queue: each runtime has one.
    runtime   text not null check (runtime in ('process', 'ecs_udf', 'ecs_platform', 'lambda')),
    -- Moved on by whoever sends, so that another dispatcher sends only what was given up.
    due_at    timestamptz not null default now(),
    tries     integer not null default 0
) with (fillfactor = 70, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0);

create index outbox_by_time on outbox (due_at, outbox_id);

-- When some dispatcher last looked for tasks that are ready and whose wake-ups may be lost.
create table outbox_sweeps (
    only_row boolean primary key default true check (only_row),
    at       timestamptz not null
);

insert into outbox_sweeps (at) values ('-infinity');
