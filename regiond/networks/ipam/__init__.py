"""IP ranges, static addresses and IP usage."""
