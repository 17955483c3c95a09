-- Equal composes and allocations of one account that are rejected within an hour are one operation: a client that repeats
-- a request does not fill the table.
alter table operation
    add column rejected_hash bytea,
    add column rejections integer not null default 0,
    add column last_rejected_at timestamptz;
comment on column operation.rejected_hash is
    'SHA-256 of kind, error code and request, if the request was rejected before it started; null: it was not, or before regions counted.';
comment on column operation.rejections is 'How often the request was rejected within an hour.';
comment on column operation.last_rejected_at is 'Time of the last of these rejections; explanation and error_message are those of it.';
create index operation_rejected_hash_idx on operation (account_id, rejected_hash) where rejected_hash is not null;
