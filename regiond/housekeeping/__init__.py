"""Periodic tasks of the region itself."""
