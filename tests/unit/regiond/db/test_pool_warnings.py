"""A database that is away for a moment puts no traceback into the log."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import asyncpg.pool
import pytest

from regiond.db.pool_warnings import shorten_warnings


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("asyncpg").addHandler(handler)
    yield stream
    logging.getLogger("asyncpg").removeHandler(handler)


def test_a_warning_of_the_pool_has_its_error_and_no_traceback(logged: io.StringIO) -> None:
    shorten_warnings()
    shorten_warnings()
    its_own = vars(asyncpg.pool)["logger"]
    its_own.warning("no connection; retrying", exc_info=ConnectionRefusedError("the database is in recovery: 100 %"))
    its_own.warning("closing takes %d s", 60)
    assert logged.getvalue().splitlines() == [
        "no connection; retrying: the database is in recovery: 100 %",
        "closing takes 60 s",
    ]
