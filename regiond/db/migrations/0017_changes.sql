-- What the live stream of the web pages and of `events/stream` is fed by. A payload is
--     TOPIC[,TOPIC ...] POOL_ID[,POOL_ID ...] ACCOUNT_ID[,ACCOUNT_ID ...]
-- with `-` for an empty list: which objects changed, and who may learn of it besides administrators. PostgreSQL sends
-- equal payloads of one transaction once.

-- Pages of VMs show the tasks of each.
create index operation_system_id_idx on operation (system_id, id) where system_id is not null;

create function notify_changed(topics text[], pools integer[], accounts integer[]) returns void language sql as $$
    select pg_notify('changed', concat_ws(' ',
        array_to_string(topics, ','),
        coalesce(nullif(array_to_string(array_remove(pools, null), ','), ''), '-'),
        coalesce(nullif(array_to_string(array_remove(accounts, null), ','), ''), '-')));
$$;

create function vm_host_changed() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        perform notify_changed(array['hosts', 'host-' || old.id], array[old.pool_id], '{}');
    end if;
    if tg_op <> 'DELETE' then
        perform notify_changed(array['hosts', 'host-' || new.id], array[new.pool_id], '{}');
    end if;
    return null;
end $$;
create trigger vm_host_changed after insert or update or delete on vm_host
    for each row execute function vm_host_changed();

create function machine_changed() returns trigger language plpgsql as $$
declare
    machine machine;
begin
    foreach machine in array case tg_op when 'INSERT' then array[new] when 'DELETE' then array[old]
                                        else array[old, new] end loop
        perform notify_changed(
            array['vms', 'vm-' || machine.system_id, 'hosts', 'host-' || coalesce(machine.host_id, 0)],
            array[machine.pool_id], array[machine.owner_id, machine.composed_by_id]);
    end loop;
    return null;
end $$;
create trigger machine_changed_rows after insert or delete on machine
    for each row execute function machine_changed();
create trigger machine_changed after update on machine
    for each row when (old.* is distinct from new.*) execute function machine_changed();

create function guest_changed() returns trigger language plpgsql as $$
declare
    server integer := case when tg_op = 'DELETE' then old.server_id else new.server_id end;
begin
    perform notify_changed(array['hosts', 'host-' || h.id], array[h.pool_id], '{}') from vm_host h where h.server_id = server;
    return null;
end $$;
create trigger guest_changed_rows after insert or delete on guest
    for each row execute function guest_changed();
create trigger guest_changed after update on guest
    for each row when (old.* is distinct from new.*) execute function guest_changed();

create function operation_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(
        array['tasks', 'task-' || new.id, 'host-' || coalesce(new.host_id, 0), 'vm-' || coalesce(new.system_id, '')],
        array[(select pool_id from machine where id = new.machine_id), (select pool_id from vm_host where id = new.host_id)],
        array[new.account_id]);
    return null;
end $$;
create trigger operation_changed after insert or update of state, step, error_message, cancel_requested on operation
    for each row execute function operation_changed();

create function operation_log_added() returns trigger language plpgsql as $$
begin
    perform notify_changed(
        array['task-' || o.id],
        array[(select pool_id from machine where id = o.machine_id), (select pool_id from vm_host where id = o.host_id)],
        array[o.account_id])
      from operation o where o.id = new.operation_id;
    return null;
end $$;
create trigger operation_log_added after insert on operation_log
    for each row execute function operation_log_added();

-- Racks: not their heartbeats. For administrators only.
create function racks_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(array['racks'], '{}', '{}');
    return null;
end $$;
create trigger racks_changed_rows after insert or delete on rack for each row execute function racks_changed();
create trigger racks_changed after update of name, certificate_fingerprint, removed_at, stolen_at, zone_ids on rack
    for each row execute function racks_changed();
create trigger racks_changed after insert or delete on rack_link for each row execute function racks_changed();
create trigger racks_changed_rows after insert or delete on rack_reach for each row execute function racks_changed();
create trigger racks_changed after update on rack_reach
    for each row when (old.reaches is distinct from new.reaches or old.error_message is distinct from new.error_message)
    execute function racks_changed();
create trigger racks_changed after insert or delete on region_process for each row execute function racks_changed();

-- Networks have no resource pool: administrators learn of their changes.
create function networks_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(array['networks'], '{}', '{}');
    return null;
end $$;
do $$
declare
    name text;
begin
    foreach name in array array['fabric', 'vlan', 'subnet', 'space', 'ip_range'] loop
        execute format('create trigger %1$s_changed_rows after insert or delete on %1$s '
                       'for each row execute function networks_changed()', name);
        execute format('create trigger %1$s_changed after update on %1$s '
                       'for each row when (old.* is distinct from new.*) execute function networks_changed()', name);
    end loop;
end $$;
