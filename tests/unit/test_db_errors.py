"""What people are told when the database takes no writes."""

from __future__ import annotations

from typing import Any, cast

import asyncpg
import pytest

from common.errors import DatabaseUnavailable
from regiond.db.errors import while_using


@pytest.mark.parametrize(
    ("met", "reason", "helps"),
    [
        (asyncpg.ReadOnlySQLTransactionError("no"), "read_only", "when it is promoted"),
        (asyncpg.DiskFullError("no"), "disk_full", "until there is room"),
    ],
)
def test_why_nothing_can_be_changed_and_what_helps_is_told(met: Exception, reason: str, helps: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=helps) as told, while_using(cast(Any, None)):
        raise met
    assert told.value.details["reason"] == reason
