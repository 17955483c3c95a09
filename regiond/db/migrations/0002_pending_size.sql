-- usable by releases that know 0001

alter table machine
    add column pending_cores integer check (pending_cores > 0),
    add column pending_memory_mib bigint check (pending_memory_mib > 0);
comment on column machine.pending_cores is
    'Cores that the machine gets when Innkeeper next starts it, since the hypervisor cannot change them while it runs; it claims the larger number. Null: as now.';
comment on column machine.pending_memory_mib is 'Memory in MiB, as pending_cores.';
