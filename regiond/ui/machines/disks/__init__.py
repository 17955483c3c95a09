"""The pages that add, attach, grow and remove disks of VMs, and delete kept disks."""
