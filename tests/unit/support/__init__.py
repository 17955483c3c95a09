"""Doubles, samples and rigs of the unit tests."""
