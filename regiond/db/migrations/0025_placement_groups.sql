-- usable by releases that know 0001

alter table vm_host add column placement_groups jsonb not null default '[]';
comment on column vm_host.placement_groups is 'Placement groups of the project, if the host is in an LXD cluster that has some.';
