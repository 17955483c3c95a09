"""Discrepancies of volumes."""
