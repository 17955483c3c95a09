"""The audit trail: which person or program asked for what."""
