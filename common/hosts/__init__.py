"""Hosts as racks report them."""
