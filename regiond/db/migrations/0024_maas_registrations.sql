-- usable by releases that know 0001

alter table maas_registration add column boot_before text[] not null default '{}';
comment on column maas_registration.boot_before is
    'What the machine booted from before it was registered, which it gets back at the end; empty: not known.';
