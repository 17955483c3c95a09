"""Discrepancies of machines whose guest starts with its host, or does not, against their setting."""
