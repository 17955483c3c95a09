"""The rack daemon: calls hypervisors on behalf of the regions."""
