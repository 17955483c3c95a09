-- Since when a host or a storage pool is not fine: the time stays while one problem turns into another.

comment on column vm_host.state_since is
    'Since when the host is unreachable or has an error, or since when not; null: unknown.';
create or replace function vm_host_state_changed() returns trigger language plpgsql as $$
begin
    if (new.error_code is not null or new.state = 'unreachable')
       is distinct from (old.error_code is not null or old.state = 'unreachable') then
        new.state_since := clock_timestamp();
    end if;
    if new.problems = '[]' then
        new.problems_since := null;
    elsif old.problems = '[]' then
        new.problems_since := clock_timestamp();
    end if;
    return new;
end $$;

comment on column storage_pool.status_since is 'Since when status is available, or since when not; null: unknown.';
drop trigger storage_pool_status_changed on storage_pool;
create trigger storage_pool_status_changed before update of status on storage_pool
    for each row when ((old.status = 'available') is distinct from (new.status = 'available'))
    execute function storage_pool_status_changed();

-- A task of the region fills it for certificates that were pinned before.
alter table vm_host add column pinned_expires_at timestamptz;
comment on column vm_host.pinned_expires_at is
    'When the pinned TLS certificate expires; null: no certificate is pinned, or it was not read yet.';
