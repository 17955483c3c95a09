"""LXD clusters: adding one member adds a host for each; all share one key pair."""
