"""Requests that all changes of the hardware of machines share: size, disks, NICs."""
