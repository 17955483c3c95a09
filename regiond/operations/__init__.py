"""The durable operation engine: leases, attempts, log. Defines no kind of operation."""
