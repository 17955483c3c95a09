-- Images that the region downloads itself. Their size is 0 until the server states it, or the whole file has come.
alter table image
    add column url text,
    add column download_failures integer not null default 0,
    add column retry_at timestamptz,
    drop constraint image_state_check,
    drop constraint image_size_bytes_check,
    drop constraint image_check,
    drop constraint image_check2,
    drop constraint image_check3,
    add constraint image_state_check check (state in ('uploading', 'downloading', 'checking', 'ready', 'failed')),
    add constraint image_size_bytes_check
        check (size_bytes > 0 or (size_bytes = 0 and state in ('downloading', 'failed'))),
    add constraint image_received_bytes_check
        check (received_bytes >= 0 and (received_bytes <= size_bytes or size_bytes = 0)),
    add constraint image_error_check
        check ((error is not null or state <> 'failed') and (error is null or state in ('downloading', 'failed'))),
    add constraint image_expires_at_check check ((expires_at is not null) = (state in ('uploading', 'downloading'))),
    add constraint image_retry_at_check check ((retry_at is not null) = (state = 'downloading')),
    add constraint image_url_check check (url is not null or state <> 'downloading');
comment on column image.url is 'Where the region downloads or downloaded the file; null if it was uploaded.';
comment on column image.error is 'Why the image failed, or why its download is tried again.';
comment on column image.expires_at is 'When an upload to which nothing is added is given up, and any download.';
comment on column image.download_failures is 'Tries in a row that brought nothing.';
comment on column image.retry_at is 'Not before then is the download tried again.';
