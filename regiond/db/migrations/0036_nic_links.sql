-- Owners change the links of their machines' NICs.
alter table machine_nic
    drop constraint machine_nic_mode_check,
    add constraint machine_nic_mode_check check (mode in ('dhcp', 'static', 'auto', 'unconfigured')),
    add column tags text[] not null default '{}',
    add column gateway_versions integer[] not null default '{}' check (gateway_versions <@ array[4, 6]),
    add column link_before jsonb;
comment on column machine_nic.mode is
    'dhcp: the guest asks; static and auto: it has the address in ip_address, which a user or Innkeeper chose; unconfigured: it has none.';
comment on column machine_nic.gateway_versions is
    'IP versions (4, 6) whose default route a user sent through this NIC; at most one NIC of a machine has each. Without, the first address with a gateway decides.';
comment on column machine_nic.link_before is
    'The link (mode, subnet_id, address, gateway_versions) before the owner of the machine changed one; its release restores it, and nobody else is given the address until then. Null: unchanged.';
create index machine_nic_link_before_idx on machine_nic (machine_id) where link_before is not null;

create function machine_nic_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(array['vms', 'vm-' || m.system_id], array[m.pool_id], array[m.owner_id, m.composed_by_id])
       from machine m where m.id = new.machine_id;
    return null;
end $$;
create trigger machine_nic_changed after update on machine_nic
    for each row when (old.* is distinct from new.*) execute function machine_nic_changed();
