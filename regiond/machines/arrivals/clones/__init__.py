"""Machines that begin with copies of the disks of another machine."""
