"""The key pairs that the made-up MAAS shows its LXD servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from tests.certificate_pairs import Pair, make_pair

UUID = "5b2bfa5c-44f5-4a0f-9e0a-2c6d8a3f9b10"
NAME = "site"
CREATED_AT = datetime(2026, 1, 15, tzinfo=UTC)


@cache
def pair_of(host: str) -> Pair:
    """The pair of one host, or of the cluster: valid for ten years, and the same for the whole test process."""
    return make_pair(f"{host}@{NAME}", starts_at=CREATED_AT, lifetime=timedelta(days=3650))
