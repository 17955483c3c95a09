-- replaces sha256:b765ca1414a077a2389f7ee8a1d55c80b718398509464f8443560a42591dbd5d (only a superuser could apply it)
-- The audit trail: who asked for what, and with what result. The rows form a chain: each has the hash of the one before.
create table audit_entry (
    id bigint primary key,
    at timestamptz not null,
    content text not null,
    previous_hash bytea not null,
    hash bytea not null,
    -- For filters. Generated from the content, which the hash covers, so that they cannot differ from it.
    answers bigint generated always as ((content::jsonb ->> 'answers')::bigint) stored,
    username text generated always as (content::jsonb ->> 'username') stored,
    action text generated always as (content::jsonb ->> 'action') stored,
    object text generated always as (content::jsonb ->> 'object') stored,
    object_name text generated always as (content::jsonb ->> 'object_name') stored,
    result text generated always as (content::jsonb ->> 'result') stored
);
comment on table audit_entry is 'Requests, their answers (`answers` is the id of the request) and requests with their answer. Append-only.';
comment on column audit_entry.content is 'JSON. The hash covers exactly this text.';
comment on column audit_entry.hash is 'SHA-256 of previous_hash, then "ID TIME CONTENT" in UTF-8.';
-- Not unique: an answer whose writing was interrupted can be written twice.
create index audit_entry_answers_idx on audit_entry (answers) where answers is not null;
create index audit_entry_at_idx on audit_entry using brin (at);

create table audit_chain (
    is_only boolean primary key default true check (is_only),
    head_id bigint not null,
    head_hash bytea not null,
    pruned_id bigint not null,
    pruned_hash bytea not null
);
comment on table audit_chain is 'The newest entry of the audit trail, and the last that was deleted because of its age.';
insert into audit_chain (head_id, head_hash, pruned_id, pruned_hash)
values (0, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex'));

-- 0046 permits the two functions to write.
-- Appends the contents in their order and returns the id of the first. The row of audit_chain is the lock.
create function audit_append(contents text[]) returns bigint language plpgsql security definer as $$
declare
    chain audit_chain;
    first_id bigint;
    entry_content text;
    entry_at timestamptz;
    digest bytea;
begin
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
    return first_id;
end $$;

-- Deletes up to `most` of the oldest entries, if they are older than `age`, but never the newest; records that in the
-- trail. Returns the number deleted.
create function audit_prune(age interval, most integer) returns bigint language plpgsql security definer as $$
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

create function audit_append_only() returns trigger language plpgsql as $$
begin
    if coalesce(current_setting('innkeeper.audit', true), '') = 'on' and tg_op <> 'TRUNCATE' then
        return null;
    end if;
    raise exception 'The audit trail is append-only: % of % is rejected.', lower(tg_op), tg_table_name
        using errcode = 'restrict_violation', hint = 'Use audit_append and audit_prune.';
end $$;
create trigger audit_entry_append_only before insert or update or delete or truncate on audit_entry
    for each statement execute function audit_append_only();
create trigger audit_chain_append_only before insert or update or delete or truncate on audit_chain
    for each statement execute function audit_append_only();
