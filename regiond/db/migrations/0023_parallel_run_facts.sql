-- usable by releases that know 0001

alter table vm_host add column maintenance_holder text;
comment on column vm_host.maintenance_holder is
    'What began the maintenance and ends it by itself, such as the parallel run beside MAAS; null: a person did.';

update vm_host h set maintenance_holder = 'maas_parallel_run'
  from maas_watched_host w join maas_import i on i.id = w.import_id
 where w.host_id = h.id and w.taken_at is null
   and h.maintenance_reason
       = 'MAAS at ' || (i.origin->>'label') || ' is in charge of it. To change that: vm-host take-over';

alter table maas_watched_host
    add column in_maas boolean,
    add column machines_in_maas integer;
comment on column maas_watched_host.in_maas is 'Whether that MAAS still has the host; null: it was not compared yet.';
comment on column maas_watched_host.machines_in_maas is 'Machines that it has on the host; null: it was not compared yet.';
