-- Whether a machine without owner may be given to somebody. Releases before do not ask, so they stop.
alter table machine add column is_stock boolean not null default false;
comment on column machine.is_stock is
    'True: composed as stock, or emptied by a release, and not used since. While it is ready and has no owner, operators of its pool may allocate it. False: it is in use, and belongs to its owner or to whoever made it (composed_by_id).';
comment on column machine.composed_by_id is
    'Account that made the machine: that composed it, or released it with its data. The machine counts for its quota and belongs to it while it has no owner. Null: adopted, or unknown; it belongs to administrators.';
comment on column machine.locked is 'True: neither allocated, deployed, changed, released nor deleted until it is unlocked.';

alter table machine add column generation integer not null default 0;
comment on column machine.generation is
    'How often stock has become used. A guest with a higher one was used after the backup from which the database was restored.';
alter table guest add column generation integer;
comment on column guest.generation is
    'The generation that is written on the host beside the marker, 0 where none is; null: unknown, or no marker.';
alter table machine add column unproven_since timestamptz;
comment on column machine.unproven_since is
    'When the database was restored: nobody knows whether the machine was used since, or by whom. Null: its host, or a person, has shown that the ledger is right.';
create index machine_unproven_idx on machine (host_id) where unproven_since is not null;
alter table detached_machine add column unproven_since timestamptz;
comment on column detached_machine.unproven_since is 'As of the machine.';
alter table detached_machine add column generation integer not null default 0;
comment on column detached_machine.generation is 'As of the machine.';
alter table detached_machine add column composed_by_id integer references account on delete set null;
comment on column detached_machine.composed_by_id is 'As of the machine; null: adopted, or detached before this column was there.';
create index detached_machine_composed_by_id_idx on detached_machine (composed_by_id) where composed_by_id is not null;

-- Machines of earlier releases: every sign of a use counts, except those before a release that emptied the root disk.
with emptied as (
    select machine_id, max(finished_at) as at
      from operation
     where kind = 'release' and state = 'succeeded'
       and (request -> 'deployed' = 'true' or request -> 'erase' = 'true')
     group by machine_id
)
update machine m
   set is_stock = not m.adopted and m.power_state <> 'on' and m.wanted_power is distinct from 'on'
       and not exists (select from machine_usage u where u.machine_id = m.id)
       and not exists (select from deployment d where d.machine_id = m.id)
       and not exists (select from guest g where g.machine_id = m.id and (g.iso <> '' or g.next_iso <> ''))
       and not exists (select from event e
                        where e.system_id = m.system_id
                          and e.kind in ('console_opened', 'screen_opened', 'machine_restored')
                          and e.at > coalesce((select at from emptied where machine_id = m.id), '-infinity'))
       and not exists (select from operation o
                        where o.machine_id = m.id
                          and o.created_at > coalesce((select at from emptied where machine_id = m.id), '-infinity')
                          and (o.kind in ('insert_iso', 'deploy')
                               or (o.kind = 'power' and o.request ->> 'action' <> 'off')
                               or (o.kind = 'add_disk' and jsonb_typeof(o.request -> 'kept') = 'object')
                               or (o.kind = 'compose' and (o.request ? 'import' or o.request ? 'copied'
                                                           or o.request -> 'power_on' = 'true'))));
update machine m
   set composed_by_id = o.account_id
  from operation o
 where m.composed_by_id is null and not m.adopted and o.machine_id = m.id and o.kind = 'compose'
   and o.account_id is not null;

-- A machine that runs is used, unless its host starts it by itself.
create or replace function machine_power_changed() returns trigger language plpgsql as $$
begin
    new.power_changed_at := clock_timestamp();
    if new.power_state = 'on' then
        if new.is_stock and coalesce(new.autostart, (select autostart from vm_host where id = new.host_id),
                                     (select autostart from installation)) is distinct from 'always' then
            new.is_stock := false;
        end if;
        new.stopped_with := null;
        new.start_tries := 0;
        if new.wanted_power is distinct from 'on' then
            new.wanted_power := 'on';
            new.wanted_power_at := new.power_changed_at;
            new.wanted_power_by := 'found';
            new.wanted_power_user := null;
        end if;
    end if;
    return new;
end $$;
