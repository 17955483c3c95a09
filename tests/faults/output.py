"""Output of processes that try cells: results on standard output, everything else on standard error."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from common.process.logging import configure_logging


def errors_only() -> None:
    """Reduces the logs of this process to errors."""
    configure_logging(level="error")
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)  # logs each failed connection


@contextmanager
def results_alone() -> Iterator[TextIO]:
    """Yields standard output, line-buffered. Other writes to standard output go to standard error from now on."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1) as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        yield out
