"""Zones and resource pools."""
