"""The ledger: who holds how much of what. Claims are rows; the running totals change in the same transaction."""
