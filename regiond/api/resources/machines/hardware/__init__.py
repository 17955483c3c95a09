"""Changes of a VM's hardware."""
