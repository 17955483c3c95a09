-- Images that an LXD server has itself: the region has no content of them.
alter table image
    alter column store_id drop not null,
    add column host_id integer references vm_host on delete cascade,
    add column alias text,
    drop constraint image_check1,
    add constraint image_place_check check (num_nonnulls(store_id, host_id) = 1),
    add constraint image_checked_check
        check (state <> 'ready' or host_id is not null or (format is not null and virtual_size_bytes is not null)),
    add constraint image_of_host_check check (host_id is null or (state = 'ready' and url is null)),
    add constraint image_alias_check check (alias is null or host_id is not null);
create index image_host_id_idx on image (host_id);
comment on column image.host_id is 'The VM host that has the image; null: the region has it. It goes with the host.';
comment on column image.alias is 'The alias by which an image of a host was named; its fingerprint identifies it.';
comment on column image.sha256 is 'Of the stored content; until it is ready, of the file as the user declared it. Of an image of a host: LXD''s fingerprint.';
comment on column image.store_id is 'The folder that has the content: a random id in it. Regions can share a folder. Null: a host has it.';
comment on column image.virtual_size_bytes is 'Of the disk; null until it was checked, and for an image of a host that does not report it.';
