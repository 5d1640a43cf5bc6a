-- What the DAGs of an org may reach outside: an admin's rules. A destination is allowed if a rule allows it
-- and none denies it. See docs/egress.md and docs/adr/0019-egress-rules-end-attempts.md.
set local lock_timeout = '10s';

create table egress_rules (
    rule_id     bigint generated always as identity primary key,
    org_id      bigint not null references orgs,
    effect      text not null check (effect in ('allow', 'deny')),
    -- `api.example.com:443` or `*.example.com:443`, in the one spelling that it is compared in.
    destination text not null check (octet_length(destination) between 3 and 300),
    -- For this DAG alone, by its name, which may come to be later; null for every DAG.
    dag         text,
    set_by      bigint not null references users,
    set_at      timestamptz not null default now(),
    -- `holds`: it is in force. `begins`: a denial that is in force, and attempts that it concerns may still
    -- run. `ends`: a permission that is taken back, and attempts that it let out may still run; once they
    -- are ended the row goes.
    state       text not null default 'holds' check (state in ('holds', 'begins', 'ends')),
    constraint egress_rules_state check (
        state = 'holds' or (state = 'begins' and effect = 'deny') or (state = 'ends' and effect = 'allow')
    )
);

create unique index egress_rules_once on egress_rules (org_id, effect, destination, coalesce(dag, ''))
    where state <> 'ends';
create index egress_rules_unsettled on egress_rules (rule_id) where state <> 'holds';
