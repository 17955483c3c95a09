-- Values in old entries can be redacted. The hashes of a redacted entry stay, so the chain does; the entry that records the
-- redaction has the hash of the new content, so that any other change of it is still found.
alter table audit_entry add column redacted_by bigint;
comment on column audit_entry.redacted_by is 'The entry that records the latest redaction of this one, and the hash of its content since then.';
comment on column audit_entry.hash is 'SHA-256 of previous_hash, then "ID TIME CONTENT" in UTF-8; of a redacted entry, with the content that it had before.';

-- The hash of an entry with the content that it has now.
create function audit_digest(entry audit_entry) returns bytea language sql stable as $$
    select sha256(entry.previous_hash || convert_to(
        format('%s %s %s', entry.id, to_char(entry.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), entry.content),
        'UTF8'))
$$;

-- Appends any contents in their order and returns the id of the first. The row of audit_chain is the lock.
create function audit_write(contents text[]) returns bigint language plpgsql security definer as $$
declare
    chain audit_chain;
    first_id bigint;
    entry_content text;
    entry_at timestamptz;
    digest bytea;
begin
    perform set_config('innkeeper.audit', 'on', true);
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
-- Only the other functions call it, with the rights of their owner: who can only append cannot record a redaction.
revoke execute on function audit_write(text[]) from public;

-- Appends the contents of requests and answers in their order and returns the id of the first.
create or replace function audit_append(contents text[]) returns bigint language plpgsql security definer as $$
begin
    if exists (select from unnest(contents) one where one::jsonb ->> 'action' like 'audit.%') then
        raise exception 'Only audit_prune and audit_redact record what they do.' using errcode = 'restrict_violation';
    end if;
    -- Not durable at once, but before anything that commits later: the log is flushed in order.
    perform set_config('synchronous_commit', 'off', true);
    return audit_write(contents);
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
    perform audit_write(array[json_build_object(
        'action', 'audit.prune', 'through', last.id, 'hash', encode(last.hash, 'hex'), 'result', 'ok')::text]);
    return deleted;
end $$;

-- The fields with those of `names` replaced, where they have a value. `names` null: all of them, without their names.
create function audit_redacted_fields(fields jsonb, names jsonb) returns jsonb language sql immutable as $$
    select case when names is null then jsonb_build_object('(all)', '(redacted)')
                else (select jsonb_object_agg(
                                 name,
                                 case when names ? name and value <> '(not recorded)' then '(redacted)' else value end)
                        from jsonb_each_text(fields) one (name, value))
           end
$$;

-- Replaces values in requests and their answers, and nothing else of them; records that in the trail. Returns the number of
-- changed requests. `targets` is an array of {"id": 5, "fields": ["user_data"]}; without `fields`, all fields of the
-- request go, and what somebody who was not logged in gave as an account or key; with {"login": ["credential"]}, this goes
-- too. `by` becomes part of the record.
-- An entry that was changed before in any other way is an error, and so is one that is itself a record of this kind.
create function audit_redact(targets jsonb, by jsonb) returns integer language plpgsql security definer as $$
declare
    durable text := current_setting('synchronous_commit');
    chain audit_chain;
    target record;
    entry audit_entry;
    content jsonb;
    digest bytea;
    changed jsonb := '[]';
    requests bigint[] := '{}';
begin
    select * into strict chain from audit_chain for update;
    perform set_config('innkeeper.audit', 'on', true);
    for target in
        select e.id, t.id as request, t.fields as names, r.action, t.login
          from jsonb_to_recordset(targets) t (id bigint, fields jsonb, login jsonb)
          join audit_entry r on r.id = t.id and r.answers is null
          join audit_entry e on e.id = t.id or e.answers = t.id
         order by e.id
    loop
        select * into strict entry from audit_entry where id = target.id;
        if target.action ilike 'audit.%' then
            raise exception 'Entry % cannot be redacted: it records what was done with the audit trail.', target.request
                using errcode = 'restrict_violation';
        end if;
        digest := audit_digest(entry);
        if digest <> entry.hash and not exists (
            select from audit_entry r
             where r.id = entry.redacted_by and r.action = 'audit.redact'
               and r.content::jsonb -> 'redacted' @> jsonb_build_array(
                       jsonb_build_object('id', entry.id, 'hash', encode(digest, 'hex')))
        ) then
            raise exception 'Entry % cannot be redacted: it was changed, its hash is not that of its content.', entry.id
                using errcode = 'restrict_violation';
        end if;
        content := entry.content::jsonb;
        if content -> 'fields' <> '{}' then
            content := jsonb_set(content, '{fields}', audit_redacted_fields(content -> 'fields', target.names));
        end if;
        if content ->> 'result' = 'rejected'
           and (content ->> 'action' = 'session.log_in' or not content ? 'username') then
            content := content || (select coalesce(jsonb_object_agg(name, '(redacted)'), '{}')
                                     from unnest(array['username', 'credential']) name
                                    where content ? name and (target.names is null or target.login ? name));
        end if;
        continue when content = entry.content::jsonb;
        entry.content := content::text;
        update audit_entry set content = entry.content, redacted_by = chain.head_id + 1 where id = entry.id;
        changed := changed || jsonb_build_object('id', entry.id, 'hash', encode(audit_digest(entry), 'hex'));
        requests := requests || target.request;
    end loop;
    if changed <> '[]' then
        perform audit_write(array[(by || jsonb_build_object(
            'action', 'audit.redact', 'result', 'ok', 'redacted', changed))::text]);
    end if;
    perform set_config('innkeeper.audit', 'off', true);
    perform set_config('synchronous_commit', durable, true);
    return (select count(distinct request) from unnest(requests) request);
end $$;

-- Not from `pg_temp`, where a session could put tables of its own.
do $$
declare
    name text;
begin
    foreach name in array array['audit_digest(audit_entry)', 'audit_write(text[])', 'audit_append(text[])',
                                'audit_prune(interval, integer)', 'audit_redacted_fields(jsonb, jsonb)',
                                'audit_redact(jsonb, jsonb)'] loop
        execute format('alter function %s set search_path = %I, pg_temp', name, current_schema());
    end loop;
end $$;
