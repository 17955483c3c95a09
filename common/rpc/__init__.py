"""How region, rack and RPC client talk: frames, a session without I/O, connections, TLS, and the commands."""
