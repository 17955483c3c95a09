-- Since when something needs attention. Times that are not known for what existed before stay null.

alter table vm_host add column state_since timestamptz, add column problems_since timestamptz;
comment on column vm_host.state_since is 'When state or error_code last changed; null: unknown.';
comment on column vm_host.problems_since is 'Since when problems is not empty; null: it is empty, or unknown.';

alter table storage_pool add column status_since timestamptz;
comment on column storage_pool.status_since is 'When status last changed; null: unknown.';

alter table machine add column state_since timestamptz;
comment on column machine.state_since is 'When state last changed; null: unknown.';

alter table guest add column volume_missing_since timestamptz;
comment on column guest.volume_missing_since is
    'The discovery run that first found a disk without its volume; null: every disk has its volume.';
create index guest_volume_missing_idx on guest (machine_id) where volume_missing_since is not null;

create table attention_since (
    kind text not null,
    object text not null,
    since timestamptz not null default now(),
    primary key (kind, object)
);
comment on table attention_since is
    'Since when an amount is above its limit: over-committed hosts, storage pools and quotas that are nearly full. A periodic task of the region writes it.';
comment on column attention_since.object is 'Type and id of the object, such as: quota 7.';

update machine m set state_since = case m.state
    when 'missing' then m.missing_since
    when 'broken' then (select max(at) from event e where e.system_id = m.system_id and e.kind = 'machine_marked_broken')
    else (select max(o.finished_at) from operation o where o.system_id = m.system_id and o.state = 'failed')
    end
 where m.state in ('missing', 'broken', 'failed_deployment', 'failed_compose', 'failed');
update guest g set volume_missing_since = coalesce(
    (select min(coalesce(d.since, d.first_seen_at)) from discrepancy d join machine m on m.system_id = d.system_id
      where m.id = g.machine_id and d.kind = 'volume_missing' and d.resolved_at is null), now())
 where g.disks @> '[{"missing": true}]';

alter table vm_host alter column state_since set default now();
alter table storage_pool alter column status_since set default now();
alter table machine alter column state_since set default now();

create function vm_host_state_changed() returns trigger language plpgsql as $$
begin
    if (new.state, new.error_code) is distinct from (old.state, old.error_code) then
        new.state_since := clock_timestamp();
    end if;
    if new.problems = '[]' then
        new.problems_since := null;
    elsif old.problems = '[]' then
        new.problems_since := clock_timestamp();
    end if;
    return new;
end $$;
create trigger vm_host_state_changed before update of state, error_code, problems on vm_host
    for each row execute function vm_host_state_changed();

create function machine_state_changed() returns trigger language plpgsql as $$
begin
    new.state_since := clock_timestamp();
    return new;
end $$;
create trigger machine_state_changed before update of state on machine
    for each row when (old.state is distinct from new.state) execute function machine_state_changed();

create function storage_pool_status_changed() returns trigger language plpgsql as $$
begin
    new.status_since := clock_timestamp();
    return new;
end $$;
create trigger storage_pool_status_changed before update of status on storage_pool
    for each row when (old.status is distinct from new.status) execute function storage_pool_status_changed();

create function guest_disks_changed() returns trigger language plpgsql as $$
begin
    new.volume_missing_since := case when new.disks @> '[{"missing": true}]'
                                     then coalesce(new.volume_missing_since, clock_timestamp()) end;
    return new;
end $$;
create trigger guest_disks_added before insert on guest
    for each row when (new.disks @> '[{"missing": true}]') execute function guest_disks_changed();
create trigger guest_disks_changed before update of disks on guest
    for each row when (old.disks is distinct from new.disks) execute function guest_disks_changed();

-- The pages that show these are live too. Discrepancies are for administrators only.
create function attention_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(array['attention'], (select array_agg(id order by id) from resource_pool), '{}');
    return null;
end $$;
create trigger attention_changed after insert or delete on attention_since
    for each row execute function attention_changed();

create function discrepancies_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(array['attention'], '{}', '{}');
    return null;
end $$;
create trigger discrepancies_changed after insert or update of resolved_at on discrepancy
    for each row execute function discrepancies_changed();

create function quota_changed() returns trigger language plpgsql as $$
declare
    changed quota := case when tg_op = 'DELETE' then old else new end;
begin
    perform notify_changed(array['attention'], array[changed.pool_id], array[changed.account_id]);
    return null;
end $$;
create trigger quota_changed after insert or update or delete on quota
    for each row execute function quota_changed();
