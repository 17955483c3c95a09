"""Devices: containers on machines, and other things, that have a name and addresses of their own."""
