"""Calls of the RPC client."""
