"""Discrepancies of whose machines are, after the database was restored."""
