-- usable by releases that know 0001

create table detached_disk (
    id integer primary key,
    host_name text not null,
    driver text not null,
    project text not null,
    server_identity text not null,
    pool_key text not null,
    storage_pool_name text not null,
    volume text not null,
    size_bytes bigint not null check (size_bytes > 0),
    tags text[] not null,
    label text not null,
    hostname text not null,
    account_id integer references account on delete set null,
    pool_id integer not null,
    kept_at timestamptz not null,
    detached_at timestamptz not null default clock_timestamp()
);
comment on table detached_disk is
    'Kept disks whose host was removed. Each becomes a kept disk again when a host is added that has its volume: of the same server, or where a refresh lists a volume of that name.';
comment on column detached_disk.id is 'Of the kept disk, which it gets again.';
comment on column detached_disk.host_name is 'The host that was removed.';
comment on column detached_disk.server_identity is 'Of the server of that host.';
comment on column detached_disk.hostname is 'The machine that had the disk.';
comment on column detached_disk.account_id is 'Who may use it; null: administrators alone.';
comment on column detached_disk.pool_id is 'Its resource pool, which may be gone.';
create index detached_disk_account_id_idx on detached_disk (account_id);
create index detached_disk_volume_idx on detached_disk (volume);

create table region_backup (
    single boolean primary key default true check (single),
    saved_at timestamptz not null,
    read_back boolean not null
);
comment on table region_backup is 'The last complete backup of this database; no row: none was made.';
comment on column region_backup.saved_at is 'The moment whose data it has.';
comment on column region_backup.read_back is 'False: it was written to a pipe, where the command cannot read it.';
