"""The address of a host, and the server that answers there."""
