"""Discrepancies of operations."""
