"""Baselines: the same work, done correctly and in the simplest way."""
