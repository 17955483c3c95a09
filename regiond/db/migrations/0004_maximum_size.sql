-- usable by releases that know 0001

alter table machine
    add column max_cores integer check (max_cores > 0),
    add column max_memory_mib bigint check (max_memory_mib > 0);
comment on column machine.max_cores is
    'Cores up to which its compose asked the hypervisor to prepare the machine, so that it gets them while it runs; not claimed. Null: none asked.';
comment on column machine.max_memory_mib is 'Memory in MiB, as max_cores.';
