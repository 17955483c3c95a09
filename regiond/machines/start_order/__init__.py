"""The order in which the machines of a host start with it."""
