"""The only conversions between units. Everywhere else the unit is in the name."""

BYTES_PER_MIB = 1024 * 1024
BYTES_PER_GB = 1000 * 1000 * 1000  # the GB of storage constraints


def mib_from_kib(kib: int) -> int:
    """Whole MiB, rounded down: capacity that is not quite there is not offered."""
    return kib // 1024


def mib_from_bytes_up(size_bytes: int) -> int:
    """Whole MiB, rounded up: what is in use is never made to look smaller."""
    return -(-size_bytes // BYTES_PER_MIB)
