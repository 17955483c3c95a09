-- usable by releases that know 0001

alter table detached_machine add column imported boolean not null default false;
comment on column detached_machine.imported is 'As machine.imported.';
