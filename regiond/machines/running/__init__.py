"""A machine in use: its deployment and its console."""
