"""Disks of simulated guests."""
