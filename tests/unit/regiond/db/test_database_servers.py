"""The servers that a DSN of the database names."""

from __future__ import annotations

import pytest

from regiond.db.servers import Server, described, servers_of


@pytest.mark.parametrize(
    ("dsn", "servers"),
    [
        ("postgresql://u@db/innkeeper", [("db", 5432)]),
        ("postgresql://u:p%40ss@a:1,b/innkeeper", [("a", 1), ("b", 5432)]),
        ("postgresql://u@[2001:db8::1]:6,[2001:db8::2]/innkeeper", [("2001:db8::1", 6), ("2001:db8::2", 5432)]),
        ("postgresql:///innkeeper?host=/run/a,/run/b&port=1,2", [("/run/a", 1), ("/run/b", 2)]),
        ("postgresql://u@/innkeeper?host=a,b&port=7", [("a", 7), ("b", 7)]),
        ("postgresql:///innkeeper", []),
    ],
)
def test_the_servers_of_a_dsn_have_its_order(dsn: str, servers: list[tuple[str, int]]) -> None:
    assert servers_of(dsn) == tuple(Server(*one) for one in servers)


@pytest.mark.parametrize(
    ("dsn", "text"),
    [
        ("postgresql://u:secret@a:1,b/inn?target_session_attrs=read-write", "inn on a:1, b"),
        ("postgresql://[2001:db8::1]:6,[2001:db8::2]/inn", "inn on [2001:db8::1]:6, [2001:db8::2]"),
        ("postgresql:///inn", "inn on the local socket"),
        ("postgresql://u:secret@a:x,b:y/inn", "of the setting"),
    ],
)
def test_a_described_dsn_has_no_password(dsn: str, text: str) -> None:
    assert described(dsn) == text
