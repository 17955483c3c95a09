-- usable by releases that know 0001

alter table maas_registration
    add column boot_before text[] not null default '{}',
    add column asked_at timestamptz;
comment on column maas_registration.boot_before is
    'What the machine booted from before it was registered, which it gets back at the end; empty: not known.';
comment on column maas_registration.asked_at is
    'When the record was last asked for, which MAAS may still do without an answer; null: not since it is noted.';
