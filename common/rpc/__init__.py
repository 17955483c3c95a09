"""RPC between regions, racks and clients: frames, sessions, connections, TLS, commands."""
