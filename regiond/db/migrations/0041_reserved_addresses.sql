-- Hosts reserve addresses for machines: what the ledger takes back stays claimed until the host has given it up.
alter table ip_address
    drop constraint ip_address_holder_check,
    add constraint ip_address_holder_check check (num_nonnulls(nic_id, device_nic_id) <= 1),
    add column on_host boolean;
comment on column ip_address.nic_id is
    'The NIC of the machine that has the address. Null, and no device has it: the machine keeps the address, because its host may still reserve it, or because the release of the machine gives it back to a NIC.';
comment on column ip_address.on_host is
    'Whether the host of the machine reserves the address, as it was told last; null: unknown, because the last call has not ended well. Those of devices are never reserved.';
update ip_address set on_host = false where device_nic_id is not null;
-- Until now only the JSON of the NIC kept these.
insert into ip_address (subnet_id, address, machine_id)
select s.id, (n.link_before ->> 'address')::inet, n.machine_id
  from machine_nic n join subnet s on s.id = (n.link_before ->> 'subnet_id')::integer
 where n.link_before ->> 'address' is not null
 order by n.id
    on conflict (address) do nothing;
comment on column machine_nic.link_before is
    'The link (mode, subnet_id, address, gateway_versions) before the owner of the machine changed one; its release restores it, and the machine keeps the address until then. Null: unchanged.';

alter table detached_machine
    add column kept_addresses jsonb not null default '[]',
    add column devices jsonb not null default '[]';
comment on column detached_machine.kept_addresses is 'The addresses that no NIC of the machine has: subnet_id, address, on_host.';
comment on column detached_machine.devices is 'Its devices, with their NICs and the addresses of these.';
