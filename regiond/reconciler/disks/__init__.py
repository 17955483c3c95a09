"""Discrepancies of the disks of machines."""
