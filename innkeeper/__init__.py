"""What users import and type: the HTTP client, the RPC client (`innkeeper.rpc`) and the `innkeeper` command."""
