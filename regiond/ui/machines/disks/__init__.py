"""The pages that add, attach, change and remove disks of VMs, and delete kept disks."""
