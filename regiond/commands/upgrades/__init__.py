"""Checks before an upgrade whether a new build can take over the database; changes nothing."""
