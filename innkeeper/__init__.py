"""The clients: the `innkeeper` command, its HTTP client, and the RPC client `innkeeper.rpc`."""
