-- usable by releases that know 0001

alter table detached_machine add column generation integer not null default 0;
comment on column detached_machine.generation is 'As machine.generation.';
