"""Filters, evaluates and scores hosts for a machine. Pure; imports no other package."""
