alter table storage_pool add column status text not null default 'available';
comment on column storage_pool.status is
    'available, or the hypervisor''s word for why no disk can be made in the pool now; total and other use are then those of the last run that found it available.';
