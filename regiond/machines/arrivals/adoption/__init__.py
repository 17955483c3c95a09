"""Adopts existing guests as machines, and forgets machines whose guests remain."""
