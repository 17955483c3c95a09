-- MAAS has two sets of texts of a machine's owner; clients use one or the other.
alter table machine add column workload_annotations jsonb not null default '{}';
alter table detached_machine add column workload_annotations jsonb not null default '{}';
comment on column machine.workload_annotations is 'Texts by key, as owner_data: until the machine is released.';
