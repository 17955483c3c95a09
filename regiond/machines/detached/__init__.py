"""Machines whose host was removed, and which return with it."""
