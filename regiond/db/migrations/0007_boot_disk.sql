alter table machine_disk add column boots boolean not null default false;
comment on column machine_disk.boots is 'The disk was chosen to boot first. Without a chosen one, the first disk does.';
comment on table machine_disk is 'Disks of machines. Index 0 is the root disk, to which deployments write.';

alter table guest add column boot_device text;
comment on column guest.boot_device is 'The disk that boots first at the next start, as the hypervisor reports; null: unknown.';
