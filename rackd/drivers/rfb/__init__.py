"""A VNC server for guests whose hypervisor gives pictures and takes keys, but no VNC connection."""
