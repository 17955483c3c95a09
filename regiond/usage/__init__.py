"""The usage of hosts and machines: now, and in the last hour."""
