-- Devices of accounts: Terraform and libmaas register things that have a name and addresses, and are on no machine.
alter table device
    alter column parent_id drop not null,
    add column owner_id integer references account on delete cascade,
    add column zone_id integer references zone,
    add column owner_data jsonb not null default '{}',
    add constraint device_owner_check check (num_nonnulls(parent_id, owner_id) = 1),
    add constraint device_zone_check check ((zone_id is null) = (owner_id is null));
comment on table device is
    'Things that have a name and addresses: containers on machines, which are deleted when the machine is released or deleted, and things on no machine, which their owner deletes.';
comment on column device.parent_id is 'The machine on which it is; the owner, the zone and the resource pool of that are those of the device. Null: it is on none.';
comment on column device.owner_id is 'The account that registered a device that is on no machine; null: the machine has an owner.';
comment on column device.zone_id is 'The zone of a device that is on no machine; null: that of the machine.';
comment on column device.owner_data is 'Keys with text values that clients store.';
create index device_owner_id_idx on device (owner_id) where owner_id is not null;

alter table ip_address
    alter column machine_id drop not null,
    add constraint ip_address_machine_check check (num_nonnulls(machine_id, device_nic_id) >= 1);
comment on column ip_address.machine_id is 'The machine, or the one on which the device is; null: the device is on none.';

-- A link has an id of its own: libmaas finds a new link by an id that the NIC did not show before.
create sequence nic_link_id_seq as integer start with 536870912 minvalue 536870912 maxvalue 1073741823;
comment on sequence nic_link_id_seq is 'Ids of links in the API: apart from those of NICs, which are lower, and of seen addresses, which are higher.';
alter table machine_nic add column link_id integer;
alter table device_nic add column link_id integer;
comment on column machine_nic.link_id is 'The id of the link in the API; null: that of the NIC, for the link that it was composed with and for links of older releases.';
comment on column device_nic.link_id is 'As in machine_nic.';

-- Terraform's provider polls a released machine until it is Ready, and fails if it is gone: one that the release deleted stays readable for minutes.
create table released_machine (
    system_id text primary key,
    owner_id integer references account on delete cascade,
    pool_id integer not null,
    machine jsonb not null,
    released_at timestamptz not null default now()
);
comment on table released_machine is 'Machines that their release deleted, as clients that wait for the end of the release read them. Rows are deleted after minutes.';
comment on column released_machine.owner_id is 'Who owned it until its release.';
comment on column released_machine.pool_id is 'Its resource pool, which may no longer exist.';
comment on column released_machine.machine is 'What it was: see regiond/machines/released_store.py.';
create index released_machine_released_at_idx on released_machine (released_at);
