"""Discrepancies of machines."""
