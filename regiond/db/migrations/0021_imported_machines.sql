-- usable by releases that know 0001

alter table machine add column imported boolean not null default false;
comment on column machine.imported is
    'Came from MAAS and was not released since: as MAAS would, a release of what its guest has needs no confirmation.';
