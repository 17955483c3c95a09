-- usable by releases that know 0001

alter table machine_disk add column origin text not null default 'created';
alter table machine_disk
    add constraint machine_disk_origin_check check (origin in ('created', 'foreign', 'adopted'));
comment on column machine_disk.origin is
    'created: composed or added by Innkeeper, which its volume is named after, or the first disk of an adopted machine. foreign: somebody attached it on the hypervisor; it is claimed and never changed. adopted: it was foreign, and is the machine''s own since.';
update machine_disk set origin = 'foreign' where index > 0 and volume not like 'ik-%';
