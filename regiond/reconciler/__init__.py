"""Compares the ledger with discovery runs; reports and repairs discrepancies."""
