-- A claim in one way to the database and back. It waits for other claims first; what it looks at after that
-- is seen by a snapshot of its own, so that it skips nothing and a claim that comes twice is recognised.
--
-- The planner is told to use the keys of `ready` whatever the statistics of a table that is empty at one
-- moment and full at the next say. The transaction does not wait for the disk: numbers of attempts are
-- reserved by one that does.
create function claim_tasks(
    p_workers bigint[], p_claims uuid[], p_turns integer[], p_first bigint, p_lease_seconds double precision
) returns table (
    answered boolean, attempt_id bigint, lease_token uuid, task_id bigint, worker_id bigint, claim_id uuid,
    failures smallint, losses smallint, started_at timestamptz, expires_at timestamptz
) language plpgsql volatile set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    most bigint := cardinality(p_turns);
begin
    perform pg_advisory_xact_lock(hashtext('trace.claims')), set_config('synchronous_commit', 'off', true);
    if exists (select from claims c where c.claim_id = any(p_claims)) then
        return query select true, null::bigint, null::uuid, null::bigint, null::bigint, null::uuid,
            null::smallint, null::smallint, null::timestamptz, null::timestamptz;
        return;
    end if;
    return query
    with slots as (
        select * from unnest(p_workers, p_claims) with ordinality as s(worker_id, claim_id, no)
    ), taken as (
        -- Rows of `ready` are never updated, so their places are stable.
        delete from ready where ctid = any (array(
            select ctid from (
                (select ctid, ready_at as rank, task_id from ready where rank is null
                order by task_id limit most)
                union all
                (select ctid, rank, task_id from ready where rank is not null
                order by rank, task_id limit most)
            ) next
            order by rank, task_id limit most
        ))
        returning task_id, failures, losses
    ), dealt as (
        select n.task_id, n.failures, n.losses, s.worker_id, s.claim_id, p_first + n.n - 1 as attempt_id
        from (select *, row_number() over (order by task_id) as n from taken) n
        join slots s on s.no = p_turns[n.n]
    ), remembered as (
        insert into claims (claim_id, worker_id, attempts)
        select claim_id, worker_id, array_agg(attempt_id order by attempt_id) from dealt group by 1, 2
    ), leased as (
        insert into leases (attempt_id, task_id, worker_id, lease_token, failures, losses, expires_at)
        select attempt_id, task_id, worker_id, gen_random_uuid(), failures, losses,
            now() + make_interval(secs => p_lease_seconds)
        from dealt
        returning attempt_id, lease_token, started_at, expires_at
    )
    select false, d.attempt_id, l.lease_token, d.task_id, d.worker_id, d.claim_id, d.failures, d.losses,
        l.started_at, l.expires_at
    from leased l join dealt d on d.attempt_id = l.attempt_id
    order by d.attempt_id;
end
$$;
