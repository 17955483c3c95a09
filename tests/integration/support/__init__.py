"""Rigs, doubles and fixtures of the integration tests."""
