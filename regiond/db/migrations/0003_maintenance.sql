-- Maintenance of hosts, and machines that were lost with a host that was removed by force.

alter table vm_host
    add column maintenance_since timestamptz,
    add column maintenance_by text,
    add column maintenance_reason text,
    add constraint vm_host_maintenance_check
        check (num_nulls(maintenance_since, maintenance_by, maintenance_reason) in (0, 3));
comment on column vm_host.maintenance_since is 'Not null: the host is in maintenance and takes no new machine.';
comment on column vm_host.maintenance_by is 'Name of the account that put the host into maintenance.';
comment on column vm_host.maintenance_reason is 'As the user gave it; empty: none given.';

alter table detached_machine add column lost boolean not null default false;
comment on column detached_machine.lost is
    'True: the host was removed by force. Its guest, if it appears again, is not restored but can be adopted.';
