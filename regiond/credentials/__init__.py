"""Sealed secrets and key pairs of servers; knows no rules of hosts."""
