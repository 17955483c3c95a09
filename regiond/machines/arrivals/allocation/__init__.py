"""Allocates a ready machine or composes one; releases machines."""
