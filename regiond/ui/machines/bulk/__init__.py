"""Actions on many VMs."""
