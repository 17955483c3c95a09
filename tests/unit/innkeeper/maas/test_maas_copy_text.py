"""The text form of rows, arrays and names in PostgreSQL's dumps."""

from __future__ import annotations

import pytest

from innkeeper.maas_import.copy_text import array_of, fields_of, header_of, names_of


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"1\tname\t\\N\t", [b"1", b"name", None, b""]),
        (rb"a\tb\nc\\d\re\bf\fg\vh", [b"a\tb\nc\\d\re\bf\fg\vh"]),
        (rb"\\N", [b"\\N"]),  # the two characters, not NULL
        (rb'{"k": "a\\nb\\"c\\\\d"}', [rb'{"k": "a\nb\"c\\d"}']),
        (rb"\x41\x7\101\7", [b"A\x07A\x07"]),
        (rb"\x\q\.", [b"xq."]),
        (b"", [b""]),
        ("Ä\t€".encode(), ["Ä".encode(), "€".encode()]),
    ],
)
def test_escapes_of_fields_are_resolved(line: bytes, fields: list[bytes | None]) -> None:
    assert fields_of(line) == fields


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("COPY public.maasserver_node (id, system_id) FROM stdin;", ("public", "maasserver_node", ["id", "system_id"])),
        ("COPY maasserver_node (id) FROM stdin;", ("public", "maasserver_node", ["id"])),
        ('COPY openfga."tuple" ("user", "a ""b""") FROM stdin;', ("openfga", "tuple", ["user", 'a "b"'])),
        ('COPY "odd.schema".one ("a, b", c) FROM stdin;', ("odd.schema", "one", ["a, b", "c"])),
        ("COPY public.none () FROM stdin;", ("public", "none", [])),
        ("COPY a.b.c (id) FROM stdin;", None),
        ("COPY public.node TO stdout;", None),
        ("COPY things over", None),
    ],
)
def test_the_header_of_a_block_names_table_and_columns(line: str, found: tuple[str, str, list[str]] | None) -> None:
    assert header_of(line) == found


def test_quoted_names_lose_their_quotes() -> None:
    assert names_of('"maas ""db""", plain') == ['maas "db"', "plain"]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("{}", []),
        ("{1,2,3}", ["1", "2", "3"]),
        ('{"a,b","c\\"d","e\\\\f","",g h}', ["a,b", 'c"d', "e\\f", "", "g h"]),
        ('{NULL,"NULL",null}', ["NULL"]),
        ("{{1,2},{3,4}}", None),
        ("{1,,2}", None),
        ("{1,}", None),
        ("{,1}", None),
        ('{"open}', None),
        ('{"a"b}', None),
        ("1,2", None),
        ("", None),
    ],
)
def test_arrays_of_one_dimension_are_read(text: str, items: list[str] | None) -> None:
    assert array_of(text) == items
