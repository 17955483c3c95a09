"""What processes that try cells say: results on standard output, everything else on standard error."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from common.logging import configure_logging


def errors_only() -> None:
    """Of the daemons' log, from here on in this process."""
    configure_logging(level="error")
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)  # it tells of each connection that it fails to make


@contextmanager
def results_alone() -> Iterator[TextIO]:
    """Standard output, a line at a time. What else is written there from now on goes to standard error."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1) as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        yield out
