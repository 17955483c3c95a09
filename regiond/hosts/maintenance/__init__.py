"""Maintenance of hosts, in which they take no new machine."""
