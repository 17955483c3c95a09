-- The region's role calls audit_prune with any age. With another owner of the tables (docs/decisions/0075), it cannot change
-- this row, so entries younger than that stay whatever the role does.
create table audit_retention (
    is_only boolean primary key default true check (is_only),
    at_least interval not null
);
comment on table audit_retention is 'The age that entries of the audit trail have to reach before anything prunes them.';
insert into audit_retention (at_least) values ('0 seconds');

-- Deletes up to `most` of the oldest entries, if they are older than `age` and than audit_retention says, but never the
-- newest; records that in the trail. Returns the number deleted.
create or replace function audit_prune(age interval, most integer) returns bigint language plpgsql security definer as $$
declare
    chain audit_chain;
    last audit_entry;
    deleted bigint;
    kept interval := greatest(age, (select at_least from audit_retention));
begin
    select * into strict chain from audit_chain for update;
    -- The first that must stay ends the deleted part, also if a clock was set back.
    select * into last from audit_entry
     where id < least(chain.pruned_id + most + 1, chain.head_id,
                      (select min(id) from audit_entry where at >= clock_timestamp() - kept))
     order by id desc limit 1;
    if last.id is null then
        return 0;
    end if;
    perform set_config('innkeeper.audit', 'on', true);
    delete from audit_entry where id <= last.id;
    get diagnostics deleted = row_count;
    update audit_chain set pruned_id = last.id, pruned_hash = last.hash;
    perform audit_write(array[json_build_object(
        'action', 'audit.prune', 'through', last.id, 'hash', encode(last.hash, 'hex'), 'result', 'ok')::text]);
    return deleted;
end $$;
do $$
begin
    execute format('alter function audit_prune(interval, integer) set search_path = %I, pg_temp', current_schema());
end $$;
