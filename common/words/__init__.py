"""Texts that region, racks and the command share."""
