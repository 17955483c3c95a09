"""Accounts, API keys and permissions."""
