"""Searches and pages of machines."""
