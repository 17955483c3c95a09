-- Finds the operations and idempotency keys that are old enough to be deleted without reading all of them.
create index operation_finished_at_idx on operation (finished_at) where not is_open;
create index idempotency_key_created_at_idx on idempotency_key (created_at);
create index idempotency_key_operation_id_idx on idempotency_key (operation_id);
