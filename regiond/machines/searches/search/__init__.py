"""Searches of machines: the fields of a query, their SQL, and the names that exist."""
