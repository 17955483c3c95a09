"""Discrepancies of claims, totals and addresses."""
