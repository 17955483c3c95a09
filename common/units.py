"""Unit conversions. Everywhere else names carry the unit."""

BYTES_PER_MIB = 1024 * 1024
BYTES_PER_GB = 1000 * 1000 * 1000  # the GB of storage constraints


def mib_from_kib(kib: int) -> int:
    """Returns whole MiB, rounded down, for capacity."""
    return kib // 1024


def mib_from_bytes_up(size_bytes: int) -> int:
    """Returns whole MiB, rounded up, for usage."""
    return -(-size_bytes // BYTES_PER_MIB)


def gb(size_bytes: int) -> str:
    """Returns the size for a sentence, such as `20.0 GB`."""
    return f"{size_bytes / BYTES_PER_GB:.1f} GB"


def file_size(size_bytes: int) -> str:
    """Returns the size for a sentence, such as `1.5 GiB`; a small one in bytes."""
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", BYTES_PER_MIB)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.4g} {unit}"
    return f"{size_bytes} bytes"
