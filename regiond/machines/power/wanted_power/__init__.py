"""The power state that machines should have: after their host was away, they are started or listed."""
