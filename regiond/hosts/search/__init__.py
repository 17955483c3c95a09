"""Searches of hosts: the facts that are searched, the fields of a query, and the names that exist."""
