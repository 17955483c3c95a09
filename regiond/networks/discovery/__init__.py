"""Derives networks from hosts' interfaces."""
