alter table machine add column zone_chosen boolean not null default false;
comment on column machine.zone_chosen is 'True: the machine stays in its zone when its host is in another one or moves there. False: it is in the zone of its host.';
alter table detached_machine add column zone_chosen boolean not null default false;

-- Nobody recorded a choice before. Composed machines used to be in the default zone unless the request named another, so
-- the default zone was not chosen, and any other zone than that of the host was. (The default zone has the id 1.)
update machine m set zone_chosen = true
  from vm_host h where h.id = m.host_id and m.zone_id <> 1 and m.zone_id <> h.zone_id;
update machine m set zone_id = h.zone_id
  from vm_host h where h.id = m.host_id and m.zone_id = 1 and h.zone_id <> 1;
update detached_machine set zone_chosen = true where zone_id <> 1;

-- A payload of `changed` is topics, resource pools and accounts. `*` in place of the pools is all pools. PostgreSQL
-- rejects payloads of 8,000 bytes and more, and with them the statement of the trigger: `*` alone says that anything may
-- have changed.
create or replace function notify_changed(topics text[], pools integer[], accounts integer[]) returns void language sql as $$
    select pg_notify('changed', case when octet_length(payload) < 8000 then payload else '*' end)
      from concat_ws(' ',
        array_to_string(topics, ','),
        coalesce(nullif(array_to_string(array_remove(pools, null), ','), ''), '-'),
        coalesce(nullif(array_to_string(array_remove(accounts, null), ','), ''), '-')) payload;
$$;
create function notify_changed_for_all(topics text[]) returns void language sql as $$
    select pg_notify('changed', array_to_string(topics, ',') || ' * -');
$$;
comment on function notify_changed_for_all is 'Notifies everybody with a role in any resource pool.';

create or replace function image_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed_for_all(array['images']);
    return null;
end $$;
create or replace function attention_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed_for_all(array['attention']);
    return null;
end $$;
create or replace function dns_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed_for_all(array['dns']);
    return null;
end $$;
