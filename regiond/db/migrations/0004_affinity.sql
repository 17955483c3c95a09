-- Affinity and anti-affinity groups of machines (docs/decisions/0013).

create table affinity_membership (
    machine_id integer not null references machine on delete cascade,
    group_name text not null check (length(group_name) between 1 and 64),
    until_release boolean not null default false,
    policy text not null check (policy in ('affinity', 'anti_affinity')),
    hard boolean not null default true,
    primary key (machine_id, group_name, until_release)
);
comment on table affinity_membership is
    'Machines in affinity and anti-affinity groups. A group exists while it has machines, which all have the same policy. Insertions hold the advisory lock of the group.';
comment on column affinity_membership.until_release is 'True: given by an allocate request to a machine that existed; ends with its release.';
comment on column affinity_membership.hard is 'False: placement prefers a host that satisfies the policy, and may choose another one.';
create index affinity_membership_group_name_idx on affinity_membership (group_name);

alter table detached_machine add column affinity_groups jsonb not null default '[]';
