-- Uploads whose user does not know the SHA-256, such as those of browsers: it is empty until the file was read.
alter table image
    drop constraint image_sha256_check,
    add constraint image_sha256_check
        check (sha256 ~ '^[0-9a-f]{64}$' or (sha256 = '' and state in ('uploading', 'checking', 'failed')));
