-- usable by releases that know 0001

alter table vm_host add column maintenance_holder text;
comment on column vm_host.maintenance_holder is
    'What began the maintenance and ends it by itself, such as the parallel run beside MAAS; null: a person did.';

update vm_host h set maintenance_holder = 'maas_parallel_run'
  from maas_watched_host w join maas_import i on i.id = w.import_id
 where w.host_id = h.id and w.taken_at is null
   and h.maintenance_reason
       = 'MAAS at ' || (i.origin->>'label') || ' is in charge of it. To change that: vm-host take-over';
