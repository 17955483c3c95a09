-- Images that were uploaded compressed or in an archive: what is stored is not the file that was declared.
alter table image
    add column packing text,
    add column file_sha256 text,
    add column file_bytes bigint,
    add check (file_sha256 ~ '^[0-9a-f]{64}$'),
    add check (file_bytes > 0),
    add check ((file_sha256 is null) = (file_bytes is null)),
    add check (file_sha256 is null or state = 'ready');
create index image_file_sha256_idx on image (file_sha256);
comment on column image.sha256 is 'Of the stored content; until it is ready, of the file as the user declared it.';
comment on column image.packing is 'How the disk was packed in the file, once it was checked.';
comment on column image.file_sha256 is 'Of the file that was added; null if it is stored as it came.';
