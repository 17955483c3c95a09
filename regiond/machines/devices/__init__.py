"""Devices: containers on machines that have addresses of their own."""
