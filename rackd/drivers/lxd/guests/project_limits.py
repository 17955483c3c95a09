"""Limits of an LXD project on what its instances and volumes have together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import DriverFailed, OutOfCapacity

_LIMIT = "maximum aggregate value"


@contextmanager
def limits_as_capacity() -> Iterator[None]:
    """Raises OutOfCapacity, with LXD's reason, for a change that a limit of the project refuses."""
    try:
        yield
    except DriverFailed as error:
        if _LIMIT in str(error).lower():
            raise OutOfCapacity(str(error)) from error
        raise
