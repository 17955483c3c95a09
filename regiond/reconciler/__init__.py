"""Compares ledger and discovery runs; reports and repairs discrepancies."""
