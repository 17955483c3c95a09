-- Claims of single cores, huge pages of a node, and virtual functions of a card.

-- Running total of claims of pinned cores: every core id that some guest is pinned to.
alter table server add column pinned_core_ids integer[] not null default '{}';
-- The part of `memory_mib` that is in huge pages, so that only guests backed by them can use it.
alter table server add column huge_memory_mib bigint not null default 0 check (huge_memory_mib >= 0);

-- What a server has a number of, and how many are claimed. `key` is `NODE/SIZE_KIB` for huge pages, the name of the
-- card's port for virtual functions.
create table counted_resource (
    server_id integer not null references server on delete cascade,
    resource text not null check (resource in ('huge_pages', 'virtual_functions')),
    key text not null,
    total bigint not null check (total >= 0),
    claimed bigint not null default 0 check (claimed >= 0),
    primary key (server_id, resource, key)
);

alter table claim add column key text; -- of the counted resource; the id of a pinned core
alter table claim drop constraint claim_resource_check;
alter table claim add constraint claim_resource_check check (resource in
    ('cores', 'memory_mib', 'storage_bytes', 'pinned_core', 'huge_pages', 'virtual_functions'));
alter table claim add constraint claim_key_check
    check ((key is not null) = (resource in ('pinned_core', 'huge_pages', 'virtual_functions')));
alter table claim drop constraint claim_machine_id_guest_id_resource_storage_pool_id_key;
alter table claim add constraint claim_held_once
    unique nulls not distinct (machine_id, guest_id, resource, storage_pool_id, key);
create index claim_counted on claim (server_id) where key is not null;

-- Kept for the host itself, taken off before the ratios.
alter table vm_host add column reserved_cores integer not null default 0 check (reserved_cores >= 0);
alter table vm_host add column reserved_memory_mib bigint not null default 0 check (reserved_memory_mib >= 0);

-- How machines for this resource pool are placed; NULL is the region's own way.
alter table resource_pool add column strategy text check (strategy in ('spread', 'pack'));

alter table machine add column pinned_core_ids integer[] not null default '{}';
alter table machine add column huge_page_size_kib bigint; -- NULL: not backed by huge pages
