"""Changes of the disks of machines."""
