"""Release, deletion, and hosts that are removed."""
