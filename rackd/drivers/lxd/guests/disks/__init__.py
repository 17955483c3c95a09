"""Disks and volumes of LXD's guests."""
