-- usable by releases that know 0001

alter table maas_import
    add column watched boolean not null default false,
    add column url text not null default '',
    add column sealed_key bytea,
    add column ca text not null default '',
    add column fingerprint text not null default '',
    add column read_at timestamptz not null default clock_timestamp(),
    add column asked_at timestamptz not null default clock_timestamp(),
    add column problem text not null default '',
    add column problem_since timestamptz,
    add column choices jsonb not null default '[]',
    add column more_differences integer not null default 0;
comment on column maas_import.watched is 'True: that MAAS is in charge of its VM hosts until each is taken over, and is asked again all the time.';
comment on column maas_import.url is 'Where it is asked again; empty: it is not watched.';
comment on column maas_import.sealed_key is 'API key, sealed with the row id; null: it is not watched, or within the transaction that inserts the row.';
comment on column maas_import.ca is 'PEM of the CA that signed its certificate; empty: those that the system trusts.';
comment on column maas_import.fingerprint is 'SHA-256 of its certificate, which then needs no CA; empty: none.';
comment on column maas_import.read_at is 'When the inventory was read.';
comment on column maas_import.asked_at is 'When a region last began to ask it again: the others wait.';
comment on column maas_import.problem is 'Why the last reading failed; empty: it did not.';
comment on column maas_import.problem_since is 'Since when readings fail; null: they do not.';
comment on column maas_import.choices is 'What a person decided on conflicts, as kind, source id and choice: taking over a host uses it again.';
comment on column maas_import.more_differences is 'Differences beyond those that maas_difference has.';

create table maas_watched_host (
    host_id integer primary key references vm_host on delete cascade,
    import_id integer not null references maas_import on delete cascade,
    source_id text not null,
    taken_at timestamptz
);
comment on table maas_watched_host is 'VM hosts of a MAAS that is watched.';
comment on column maas_watched_host.source_id is 'Its id in that MAAS.';
comment on column maas_watched_host.taken_at is 'When Innkeeper took it over; null: that MAAS is in charge.';
create index maas_watched_host_import_id_idx on maas_watched_host (import_id);

create table maas_difference (
    host_id integer not null references vm_host on delete cascade,
    vm text not null,
    kind text not null,
    import_id integer not null references maas_import on delete cascade,
    in_maas text not null,
    here text not null,
    since timestamptz not null default clock_timestamp(),
    primary key (host_id, vm, kind)
);
comment on table maas_difference is 'What a watched MAAS says of the VMs of its hosts, and the hosts say otherwise.';
comment on column maas_difference.vm is 'The name on the host; empty: it concerns the host.';
comment on column maas_difference.since is 'When it was first seen; it stays while the difference does, also with other values.';
create index maas_difference_import_id_idx on maas_difference (import_id);
