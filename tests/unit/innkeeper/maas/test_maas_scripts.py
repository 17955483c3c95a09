"""Scripts of pg_dump and pg_dumpall, read as streams: databases, what is kept, and what is refused."""

from __future__ import annotations

from io import BytesIO

import pytest

from common.errors import InvalidRequest
from innkeeper.maas_import import tables as kept_tables
from innkeeper.maas_import.script import Script, read_script
from innkeeper.maas_import.tables import MAX_LINE_BYTES

ZONES = "COPY public.maasserver_zone (description, name, id) FROM stdin;\nthe\\tnorth\tnorth\t2\n\\N\tdefault\t1\n\\.\n"
NODES = "COPY public.maasserver_node (id) FROM stdin;\n\\.\n"


def read(text: str | bytes, database: str | None = None) -> Script:
    return read_script(BytesIO(text if isinstance(text, bytes) else text.encode()), database=database)


def test_columns_are_found_by_their_names() -> None:
    found = read(ZONES).databases[""]
    assert [dict(row.values) for row in found["maasserver_zone"]] == [
        {"id": "2", "name": "north", "description": "the\tnorth"},
        {"id": "1", "name": "default", "description": None},
    ]
    assert [row.text("id") for row in found.ordered("maasserver_zone")] == ["1", "2"]


def test_only_wanted_columns_rows_and_tables_are_kept() -> None:
    found = read(
        "COPY public.maasserver_config (id, name, value) FROM stdin;\n"
        '1\tmaas_name\t"site"\n2\trpc_shared_secret\t"hidden"\n\\.\n'
        "COPY public.maasserver_secret (path, value) FROM stdin;\n"
        'global/tls\t{"key": "hidden"}\nbmc/1/power-parameters\t{"key": "kept"}\n\\.\n'
        "COPY public.django_session (session_key, session_data) FROM stdin;\nhidden\thidden\n\\.\n"
        "COPY public.auth_user (id, username, email, is_superuser, is_active, last_name, password, last_login) "
        "FROM stdin;\n1\tanna\t\\N\tt\tt\tAnna\t!\thidden\n\\.\n"
    ).databases[""]
    assert "hidden" not in str(found.rows)
    assert "kept" in str(found.rows)
    assert found.others == {"django_session"}


def test_lines_of_rows_that_look_like_commands_are_rows() -> None:
    found = read(
        "COPY public.maasserver_event (description) FROM stdin;\n"
        "COPY public.maasserver_zone (id, name, description) FROM stdin;\n\\\\.\n\\\\connect other\n\\.\n" + ZONES
    )
    assert list(found.databases) == [""]
    assert len(found.databases[""]["maasserver_zone"]) == 2


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("\\connect maasdb", "maasdb"),
        ('\\connect "maas db"', "maas db"),
        ("\\connect -reuse-previous=on \"dbname='it\\'s'\"", "it's"),
        ('\\connect -reuse-previous=on "dbname=\'a ""b"" \\\\c\'"', 'a "b" \\c'),
    ],
)
def test_each_connect_line_begins_another_database(line: str, name: str) -> None:
    found = read(f"\\connect template1\n{line}\n{NODES}\\connect postgres\n{ZONES}")
    assert list(found.databases) == [name, "postgres"]
    assert found.databases[name].has("maasserver_node")
    assert not found.databases[name]["maasserver_zone"]


def test_rows_of_another_database_than_the_chosen_are_not_kept() -> None:
    found = read(f"\\connect one\n{ZONES}\\connect two\n{ZONES}", database="two")
    assert not found.databases["one"]["maasserver_zone"]
    assert found.databases["two"]["maasserver_zone"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("COPY public.maasserver_zone (id, name, description) FROM stdin;\n1\tdef", "rows of maasserver_zone"),
        ("COPY public.maasserver_zone (id, name, description) FROM stdin;\n1\tdefault\t\n", "rows of maasserver_zone"),
        ("COPY public.maasserver_event (id) FROM stdin;\n1\n", "rows of maasserver_event"),
        ("-- PostgreSQL database dump\n" + ZONES, "it has no end"),
        (
            "-- PostgreSQL database cluster dump\n-- PostgreSQL database dump\n-- PostgreSQL database dump complete\n",
            "it has no end",
        ),
    ],
)
def test_a_dump_that_was_cut_off_is_refused(text: str, where: str) -> None:
    with pytest.raises(InvalidRequest, match=f"not complete: .*{where}.*make a new one"):
        read(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("INSERT INTO public.maasserver_node VALUES (1);\n", "without --inserts"),
        ("SET client_encoding = 'LATIN1';\n", "encoding LATIN1.*--encoding=UTF8"),
        ("COPY public.maasserver_zone (id, name, description) FROM stdin;\n1\tone\n\\.\n", "has 2 values instead of 3"),
        (
            b"COPY public.maasserver_zone (id, name, description) FROM stdin;\n1\t\xff\t\n\\.\n",
            "maasserver_zone is not in UTF-8",
        ),
    ],
)
def test_scripts_that_cannot_be_used_are_refused(text: str | bytes, problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        read(text)


def test_windows_line_ends_do_not_matter() -> None:
    assert read(ZONES.replace("\n", "\r\n")).databases[""]["maasserver_zone"][0].text("id") == "2"


def test_long_rows_of_tables_that_are_not_wanted_do_not_matter() -> None:
    long = b"COPY public.metadataserver_scriptresult (output) FROM stdin;\n" + b"x" * (MAX_LINE_BYTES - 2) + b"\\.\n"
    assert read(long + b"\\.\n" + ZONES.encode()).databases[""]["maasserver_zone"]


def test_a_row_without_end_is_refused_before_it_is_read() -> None:
    header = b"COPY public.maasserver_zone (id, name, description) FROM stdin;\n"
    with pytest.raises(InvalidRequest, match="maasserver_zone is longer than 16 MiB"):
        read(header + b"x" * (MAX_LINE_BYTES + 1) + b"\n\\.\n")


@pytest.mark.parametrize("limit", ["MAX_ROWS", "MAX_KEPT_BYTES"])
def test_what_is_kept_has_limits(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_tables, limit, 1)
    with pytest.raises(InvalidRequest, match="larger than an import reads"):
        read(ZONES)
