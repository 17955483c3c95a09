"""The usage of hosts and guests: sampled, kept for an hour, read by regions and Prometheus."""
