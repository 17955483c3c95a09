-- usable by releases that know 0001

alter table machine_disk add column second_storage_pool_id integer references storage_pool;
alter table machine_disk add column second_volume text;
alter table machine_disk
    add constraint machine_disk_second_check check ((second_storage_pool_id is null) = (second_volume is null));
comment on column machine_disk.second_storage_pool_id is
    'Storage pool of second_volume. The disk claims its size there too, while an operation moves it.';
comment on column machine_disk.second_volume is
    'The other volume of a disk that is moved to another storage pool: its copy, and from when the guest uses that, the volume of before. Null: the disk is not moved.';
alter table machine_disk add column root_volume text;
comment on column machine_disk.root_volume is
    'Of the root disk, once it was moved: the volume that it has since. Null: it has the volume of its compose. A disk with neither is not written by deployments.';
create index machine_disk_second_storage_pool_id_idx on machine_disk (second_storage_pool_id);
