-- A key leads to the operation that its request opened, or else to the answer; until there is one, the request runs.
alter table idempotency_key
    alter column operation_id drop not null,
    add column sealed_answer bytea,
    add column lease_ends_at timestamptz,
    add constraint idempotency_key_one_outcome check (num_nonnulls(operation_id, sealed_answer, lease_ends_at) = 1);
comment on table idempotency_key is 'Idempotency keys of requests, and what came of each: an operation or an answer.';
comment on column idempotency_key.request_hash is
    'HMAC-SHA256 of the request; the same key with another request is rejected. Of older releases: SHA-256, equal to none.';
comment on column idempotency_key.operation_id is 'The operation that the request opened.';
comment on column idempotency_key.sealed_answer is 'The successful answer of a request that opened no operation, sealed.';
comment on column idempotency_key.lease_ends_at is
    'While the request runs, its region moves this on. Once it has passed, nobody knows what came of the request.';
create index idempotency_key_answers_idx on idempotency_key (account_id, created_at) where operation_id is null;

alter table installation add column sealed_request_key bytea;
comment on column installation.sealed_request_key is 'The sealed key of the HMAC of requests, in idempotency_key.';
