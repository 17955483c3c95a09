-- What `events/stream` reads by. Ids are given out before commits, so an event can appear after one with a higher id. A
-- transaction that adds events holds a shared advisory lock whose number is the newest id before its first one; as long
-- as it does, a stream sends no event after that id. Nothing ever waits for these locks.

create function hold_event_floor() returns trigger language plpgsql as $$
declare
    newest bigint;
begin
    -- Once in a transaction, or in a savepoint, whose rollback releases the lock and forgets the setting.
    if coalesce(current_setting('innkeeper.event_floor', true), '') = '' then
        select last_value - (not is_called)::integer into newest from event_id_seq;
        perform pg_advisory_xact_lock_shared((x'494E4B'::bigint << 40) + newest);
        perform set_config('innkeeper.event_floor', newest::text, true);
    end if;
    return null;
end $$;
-- For the statement, not the row: before the row's id is given out.
create trigger hold_event_floor before insert on event for each statement execute function hold_event_floor();

create function event_added() returns trigger language plpgsql as $$
begin
    perform pg_notify('event', '');
    return null;
end $$;
create trigger event_added after insert on event for each statement execute function event_added();

-- The newest id at or before which no event can appear any more. It holds for statements that start after this one.
create function event_horizon() returns bigint language plpgsql as $$
declare
    newest bigint;
    lowest_floor bigint;
begin
    -- In this order: who takes an id up to the newest has its lock by then.
    select last_value - (not is_called)::integer into newest from event_id_seq;
    select min(((classid::bigint & 255) << 32) | objid::bigint) into lowest_floor
      from pg_locks
     where locktype = 'advisory' and objsubid = 1 and classid::bigint >> 8 = x'494E4B'::bigint and granted
       and database = (select oid from pg_database where datname = current_database());
    return least(newest, lowest_floor);
end $$;
