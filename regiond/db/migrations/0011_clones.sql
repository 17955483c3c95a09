-- usable by releases that know 0001

alter table operation add column source_machine_id integer references machine on delete set null;
comment on column operation.source_machine_id is
    'Machine whose disks the operation copies to a new machine. While it is open, no operation on that machine opens. Null: it copies none.';
create index operation_source_machine_id_idx on operation (source_machine_id) where source_machine_id is not null;
