"""The audit trail and its live stream."""
