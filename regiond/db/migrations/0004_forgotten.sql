-- The guest of an adopted machine and its disks were there before us. On libvirt, where a listing tells no metadata,
-- such a guest is known by its id, which is the machine's.
alter table machine add column adopted boolean not null default false;

-- Containers take room as any guest does, and are never adopted.
alter table guest add column kind text not null default 'vm';

-- Machines whose host was removed while their guests stayed. They come back with the host (docs/decisions/0006).
create table machine_forgotten (
    uuid uuid primary key,
    system_id text not null,
    hostname text not null,
    adopted boolean not null,
    host_name text not null,
    driver text not null,
    address text not null,
    project text not null,
    pool_id integer not null,
    zone_id integer not null,
    owner_id integer references account on delete set null,
    architecture text not null,
    cores integer not null,
    memory_mib bigint not null,
    tags text[] not null,
    description text not null,
    disks jsonb not null,
    nics jsonb not null,
    forgotten_at timestamptz not null default clock_timestamp()
);
