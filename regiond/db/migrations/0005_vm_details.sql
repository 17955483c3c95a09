alter table machine_disk add column label text not null default '';
comment on column machine_disk.label is 'Label of the storage constraint that requested the disk.';

-- The composes of existing disks recorded the labels with the placement.
update machine_disk d
   set label = placed.label
  from (select distinct on (o.machine_id, p.position) o.machine_id, p.position - 1 as index, p.disk ->> 'label' as label
          from operation o,
               jsonb_array_elements(case when jsonb_typeof(o.explanation -> 'disks') = 'array'
                                         then o.explanation -> 'disks' else '[]' end) with ordinality p (disk, position)
         where o.kind = 'compose' and o.machine_id is not null
         order by o.machine_id, p.position, o.id desc) placed
 where placed.machine_id = d.machine_id and placed.index = d.index and placed.label is not null;

alter table guest add column started_at timestamptz;
comment on column guest.started_at is 'When the running guest was started, as its hypervisor reports; null: it is off, or that is not reported.';

create table bulk_user_data (
    operation_id bigint primary key references operation on delete cascade,
    sealed_user_data bytea not null
);
comment on table bulk_user_data is 'User data of deployments that a bulk operation has still to begin; deleted when it ends.';
