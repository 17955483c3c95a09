"""Limits on what an account, or a resource pool, may hold."""
