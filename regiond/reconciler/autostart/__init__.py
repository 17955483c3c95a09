"""Machines whose host would start their guest, or not, against their setting."""
