"""Consoles and screens of simulated guests."""
