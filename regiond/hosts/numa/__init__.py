"""NUMA nodes of hosts and their use."""
