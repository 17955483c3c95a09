"""Exports: a change that writes a VM's disks to a file."""
