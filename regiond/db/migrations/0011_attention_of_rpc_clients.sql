-- Certificates of RPC clients are under Attention: pages that show it are live when one is renewed or revoked.
create function rpc_client_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(
        array['attention'], '{}', array[case when tg_op = 'DELETE' then old.account_id else new.account_id end]);
    return null;
end $$;
create trigger rpc_client_changed_rows after insert or delete on rpc_client
    for each row execute function rpc_client_changed();
create trigger rpc_client_changed after update of revoked_at, certificate_expires_at on rpc_client
    for each row when (old.revoked_at is distinct from new.revoked_at
                       or old.certificate_expires_at is distinct from new.certificate_expires_at)
    execute function rpc_client_changed();
