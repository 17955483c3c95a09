-- usable by releases that know 0001

alter table storage_pool add column storage_id text not null default '';
comment on column storage_pool.storage_id is
    'Storage pools of a server with the same value are on the same storage and share its space. Empty: none shares it.';
