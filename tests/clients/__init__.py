"""Clients of MAAS against a region with simulated hosts: real programs, and the exact bytes of others."""
