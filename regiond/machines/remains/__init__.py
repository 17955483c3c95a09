"""Disks, and whether they stay when their VM goes."""
