"""Disks and volumes of libvirt's guests."""
