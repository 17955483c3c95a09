-- Live pages of devices, DNS and events. Topics: `devices` and `device-SYSTEM_ID`, `dns`, `events`.

-- Who sees the machine of a device, or owns a device that is on none, learns of its changes.
create or replace function device_changed() returns trigger language plpgsql as $$
declare
    device device := case when tg_op = 'DELETE' then old else new end;
begin
    perform notify_changed(array['vms', 'vm-' || m.system_id], array[m.pool_id], array[m.owner_id, m.composed_by_id])
       from machine m where m.id = device.parent_id;
    perform notify_changed(
        array['devices', 'device-' || device.system_id],
        array[m.pool_id], array[device.owner_id, m.owner_id, m.composed_by_id])
       from (select) one left join machine m on m.id = device.parent_id;
    return null;
end $$;

create or replace function device_nic_changed() returns trigger language plpgsql as $$
declare
    changed integer := case when tg_op = 'DELETE' then old.device_id else new.device_id end;
begin
    perform notify_changed(array['vms', 'vm-' || m.system_id], array[m.pool_id], array[m.owner_id, m.composed_by_id])
       from device d join machine m on m.id = d.parent_id where d.id = changed;
    perform notify_changed(
        array['devices', 'device-' || d.system_id], array[m.pool_id], array[d.owner_id, m.owner_id, m.composed_by_id])
       from device d left join machine m on m.id = d.parent_id where d.id = changed;
    return null;
end $$;

-- Domains and names have no resource pool: everybody who may see one learns of their changes.
create function dns_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(array['dns'], (select array_agg(id order by id) from resource_pool), '{}');
    return null;
end $$;
do $$
declare
    name text;
begin
    foreach name in array array['dns_domain', 'dns_name', 'dns_address'] loop
        execute format('create trigger %1$s_changed_rows after insert or delete on %1$s '
                       'for each row execute function dns_changed()', name);
        execute format('create trigger %1$s_changed after update on %1$s '
                       'for each row when (old.* is distinct from new.*) execute function dns_changed()', name);
    end loop;
end $$;

-- Who may see an event learns that there is one; the page of the events reads it.
create function event_listed() returns trigger language plpgsql as $$
begin
    perform notify_changed(
        array['events'],
        array[(select pool_id from machine where system_id = new.system_id),
              (select pool_id from vm_host where id = new.host_id)],
        array[new.account_id, (select owner_id from machine where system_id = new.system_id)]);
    return null;
end $$;
create trigger event_listed after insert on event for each row execute function event_listed();
