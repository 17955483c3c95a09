-- usable by releases that know 0001

alter table guest add column removal jsonb not null default '{}';
comment on column guest.removal is
    'What goes along with the guest when it is deleted, what stays, and what forbids it, as the hypervisor reports.';
