"""Discrepancies of machines that are registered in MAAS servers, against what those list."""
