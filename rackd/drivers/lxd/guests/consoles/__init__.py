"""Consoles and screens."""
