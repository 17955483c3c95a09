"""Doubles of hypervisors, servers and their clients."""
