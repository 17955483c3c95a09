-- usable by releases that know 0001

alter table guest add column generation integer;
comment on column guest.generation is
    'How often a use of the machine has begun, as it is written on the host beside the marker; null: no marker, or none is written.';
