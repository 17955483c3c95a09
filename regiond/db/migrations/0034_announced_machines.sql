-- A client can learn of a machine before its virtual machine exists: if the compose fails then, the machine stays.
alter table machine
    add column announced boolean not null default false,
    add column failed_host_id integer references vm_host on delete set null;
comment on column machine.announced is
    'True: a request for a compose was answered with this machine before the compose ended. If that fails, the machine is kept in state failed_compose.';
comment on column machine.failed_host_id is
    'Of a machine whose compose failed: the last host that was tried. It has nothing there, so host_id is null. Null: the host was removed.';
comment on column machine.error_description is
    'Why a user marked the machine broken, or why its deployment or its compose failed.';
create index machine_failed_host_id_idx on machine (failed_host_id) where failed_host_id is not null;
