-- A hostname or a MAC address is that of one machine or of one device. The unique indexes of the tables cover one of them each: these tables cover both.
create table used_hostname (
    hostname text primary key,
    machine_id integer unique references machine on delete cascade,
    device_id integer unique references device on delete cascade,
    check (num_nonnulls(machine_id, device_id) = 1)
);
comment on table used_hostname is 'The hostnames of machines and devices. Triggers of these write it, and nothing else.';

create table used_mac_address (
    mac_address text primary key,
    machine_nic_id integer unique references machine_nic on delete cascade,
    device_nic_id integer unique references device_nic on delete cascade,
    check (num_nonnulls(machine_nic_id, device_nic_id) = 1)
);
comment on table used_mac_address is 'The MAC addresses of the NICs of machines and devices. Triggers of these write it, and nothing else.';

create function use_hostname() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'machine' then
        insert into used_hostname (hostname, machine_id) values (new.hostname, new.id)
            on conflict (machine_id) do update set hostname = excluded.hostname;
    else
        insert into used_hostname (hostname, device_id) values (new.hostname, new.id)
            on conflict (device_id) do update set hostname = excluded.hostname;
    end if;
    return null;
end $$;
create trigger used_hostname after insert or update of hostname on machine
    for each row execute function use_hostname();
create trigger used_hostname after insert or update of hostname on device
    for each row execute function use_hostname();

create function use_mac_address() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'machine_nic' then
        insert into used_mac_address (mac_address, machine_nic_id) values (new.mac_address, new.id)
            on conflict (machine_nic_id) do update set mac_address = excluded.mac_address;
    else
        insert into used_mac_address (mac_address, device_nic_id) values (new.mac_address, new.id)
            on conflict (device_nic_id) do update set mac_address = excluded.mac_address;
    end if;
    return null;
end $$;
create trigger used_mac_address after insert or update of mac_address on machine_nic
    for each row execute function use_mac_address();
create trigger used_mac_address after insert or update of mac_address on device_nic
    for each row execute function use_mac_address();

insert into used_hostname (hostname, machine_id) select hostname, id from machine;
insert into used_mac_address (mac_address, machine_nic_id) select mac_address, id from machine_nic;
-- What a machine and a device have both until now, they keep until one of them changes it.
insert into used_hostname (hostname, device_id) select hostname, id from device on conflict do nothing;
insert into used_mac_address (mac_address, device_nic_id) select mac_address, id from device_nic on conflict do nothing;
