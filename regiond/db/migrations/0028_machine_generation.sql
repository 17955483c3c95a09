-- usable by releases that know 0001

alter table machine add column generation integer not null default 0;
comment on column machine.generation is
    'How often a use of the machine has begun. A guest that has a higher one was used after the backup from which the database was restored.';
