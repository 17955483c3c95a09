"""Adding and changing hosts."""
