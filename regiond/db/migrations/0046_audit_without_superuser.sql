-- Only a superuser may create a function with a setting of its own name (`create function … set innkeeper.audit`), so the
-- functions set it while they write. An error restores it too, since it is local to the transaction.

-- Appends the contents in their order and returns the id of the first. The row of audit_chain is the lock.
create or replace function audit_append(contents text[]) returns bigint language plpgsql security definer as $$
declare
    chain audit_chain;
    first_id bigint;
    entry_content text;
    entry_at timestamptz;
    digest bytea;
begin
    perform set_config('innkeeper.audit', 'on', true);
    -- Not durable at once, but before anything that commits later: the log is flushed in order.
    perform set_config('synchronous_commit', 'off', true);
    select * into strict chain from audit_chain for update;
    first_id := chain.head_id + 1;
    foreach entry_content in array contents loop
        entry_at := clock_timestamp();
        digest := sha256(chain.head_hash || convert_to(
            format('%s %s %s', chain.head_id + 1,
                   to_char(entry_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), entry_content), 'UTF8'));
        insert into audit_entry (id, at, content, previous_hash, hash)
        values (chain.head_id + 1, entry_at, entry_content, chain.head_hash, digest);
        chain.head_id := chain.head_id + 1;
        chain.head_hash := digest;
    end loop;
    update audit_chain set head_id = chain.head_id, head_hash = chain.head_hash;
    perform set_config('innkeeper.audit', 'off', true);
    return first_id;
end $$;

-- Deletes up to `most` of the oldest entries, if they are older than `age`, but never the newest; records that in the
-- trail. Returns the number deleted.
create or replace function audit_prune(age interval, most integer) returns bigint language plpgsql security definer as $$
declare
    chain audit_chain;
    last audit_entry;
    deleted bigint;
begin
    select * into strict chain from audit_chain for update;
    -- The first that must stay ends the deleted part, also if a clock was set back.
    select * into last from audit_entry
     where id < least(chain.pruned_id + most + 1, chain.head_id,
                      (select min(id) from audit_entry where at >= clock_timestamp() - age))
     order by id desc limit 1;
    if last.id is null then
        return 0;
    end if;
    perform set_config('innkeeper.audit', 'on', true);
    delete from audit_entry where id <= last.id;
    get diagnostics deleted = row_count;
    update audit_chain set pruned_id = last.id, pruned_hash = last.hash;
    perform audit_append(array[json_build_object(
        'action', 'audit.prune', 'through', last.id, 'hash', encode(last.hash, 'hex'), 'result', 'ok')::text]);
    return deleted;
end $$;

-- Not from `pg_temp`, where a session could put tables of its own.
do $$ begin
    execute format('alter function audit_append(text[]) set search_path = %I, pg_temp', current_schema());
    execute format('alter function audit_prune(interval, integer) set search_path = %I, pg_temp', current_schema());
end $$;
