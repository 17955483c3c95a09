"""The simulated driver: hosts that live in files."""
