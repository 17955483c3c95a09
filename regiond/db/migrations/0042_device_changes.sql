-- A change of a device is one of the machine on which it is: who sees the machine learns of it.
create function device_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(array['vms', 'vm-' || m.system_id], array[m.pool_id], array[m.owner_id, m.composed_by_id])
       from machine m
      where m.id = case when tg_op = 'DELETE' then old.parent_id else new.parent_id end;
    return null;
end $$;
create trigger device_changed_rows after insert or delete on device
    for each row execute function device_changed();
create trigger device_changed after update on device
    for each row when (old.* is distinct from new.*) execute function device_changed();

-- Every update: another address in the same subnet changes only a row of ip_address.
create function device_nic_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(array['vms', 'vm-' || m.system_id], array[m.pool_id], array[m.owner_id, m.composed_by_id])
       from device d join machine m on m.id = d.parent_id
      where d.id = case when tg_op = 'DELETE' then old.device_id else new.device_id end;
    return null;
end $$;
create trigger device_nic_changed after insert or update or delete on device_nic
    for each row execute function device_nic_changed();
