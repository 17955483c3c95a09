"""The pages of VMs."""
