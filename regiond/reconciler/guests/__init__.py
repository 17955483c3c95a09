"""Discrepancies of guests with an ownership marker."""
