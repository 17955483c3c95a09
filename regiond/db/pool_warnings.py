"""The warnings of asyncpg's pool, in a line each."""

from __future__ import annotations

import logging


class _WithoutTraceback(logging.Filter):
    """The pool reconnects in the background, and warns with a traceback while the server does not answer.

    The error is all there is to know: the region goes on, and says itself when the database is away.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]}", None
            record.exc_info = None
        return True


_FILTER = _WithoutTraceback()


def shorten_warnings() -> None:
    """Idempotent."""
    logging.getLogger("asyncpg.pool").addFilter(_FILTER)
