-- Who may see an event learns that there is one: the composer of a machine too, while nobody owns the machine.
create or replace function event_listed() returns trigger language plpgsql as $$
begin
    perform notify_changed(
        array['events'],
        array[(select pool_id from machine where system_id = new.system_id),
              (select pool_id from vm_host where id = new.host_id)],
        array[new.account_id,
              (select coalesce(owner_id, composed_by_id) from machine where system_id = new.system_id)]);
    return null;
end $$;
