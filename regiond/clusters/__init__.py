"""LXD clusters: adding one member adds all; each is a host with its own capacity, all share one key pair."""
