"""Messages when the database rejects writes."""

from __future__ import annotations

import asyncpg
import pytest

from common.errors import DatabaseUnavailable
from regiond.db.errors import translating_errors


class OpenConnection:
    def is_closed(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("raised", "reason", "remedy"),
    [
        (asyncpg.ReadOnlySQLTransactionError("no"), "read_only", "when it is promoted"),
        (asyncpg.DiskFullError("no"), "disk_full", "Free space"),
    ],
)
def test_a_rejected_write_reports_reason_and_remedy(raised: Exception, reason: str, remedy: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=remedy) as translated, translating_errors(OpenConnection()):
        raise raised
    assert translated.value.details["reason"] == reason
