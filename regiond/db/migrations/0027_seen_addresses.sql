-- Addresses that guests have by DHCP or by their own configuration, as hosts report them. Innkeeper assigned none of
-- them: those are in ip_address.
create table seen_address (
    -- Apart from those of NICs: both are ids of links in the API.
    id integer generated always as identity (start with 1073741824) primary key,
    nic_id integer not null references machine_nic on delete cascade,
    address inet not null,
    seen_at timestamptz not null default now(),
    unique (nic_id, address)
);
create index seen_address_address_idx on seen_address (address);
comment on table seen_address is 'Addresses of NICs of machines, as their guests have them while they run.';
comment on column seen_address.seen_at is 'When it was first reported.';

create function seen_address_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(
        array['vms', 'vm-' || m.system_id], array[m.pool_id], array[m.owner_id, m.composed_by_id])
       from machine_nic n join machine m on m.id = n.machine_id
      where n.id = case when tg_op = 'DELETE' then old.nic_id else new.nic_id end;
    return null;
end $$;
create trigger seen_address_changed after insert or delete on seen_address
    for each row execute function seen_address_changed();
