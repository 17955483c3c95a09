"""Idempotency keys: a request that is repeated with its key gets the first answer, and runs once."""
