"""Machines: lifecycle, ownership, power and deletion."""
