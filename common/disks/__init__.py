"""Disks and volumes: sizes, names, content."""
