"""Pages of one's own account: password, keys, sessions, RPC clients."""
