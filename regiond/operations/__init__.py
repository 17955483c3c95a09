"""The durable operation engine: leases, attempts, log. Contains no handlers."""
