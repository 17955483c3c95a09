"""Distributed traces: spans from a request through operations and RPC calls to drivers and the database."""
