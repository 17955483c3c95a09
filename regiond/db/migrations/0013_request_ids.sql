alter table operation add column request_id text;
comment on column operation.request_id is 'Id of the request that opened the operation, or of the one that opened its parent, as in the log; null: none did.';
