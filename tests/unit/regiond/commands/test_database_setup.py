"""The decisions of a database setup: addresses, the settings file, and what it refuses."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve

from common.errors import BadSettings
from regiond.commands.database_setup.model import (
    Facts,
    Target,
    as_login,
    check,
    default_dsn,
    in_database,
    is_local,
    is_socket,
    local_administrator,
    scram,
    with_database,
)

SETTINGS = Path(__file__).resolve().parents[4] / "etc/regiond.toml"
SOCKET = "postgresql://innkeeper-regiond@/innkeeper?host=/var/run/postgresql"
REMOTE = "postgresql://postgres:p%40ss@db.example.net:5433/postgres?sslmode=verify-full&sslrootcert=/etc/ca.crt"
TARGET = Target.of(SOCKET, "innkeeper")
FINE = Facts(release=15)


def test_the_setting_names_database_and_role() -> None:
    assert (TARGET.database, TARGET.role, TARGET.owner, TARGET.password) == (
        "innkeeper", "innkeeper-regiond", "innkeeper", None,
    )  # fmt: skip
    found = Target.of("postgresql://anna:s%2Fx@db/vms", "owner")
    assert (found.database, found.role, found.password) == ("vms", "anna", "s/x")
    assert "s/x" not in repr(found)
    assert Target.of("postgresql:///vms", "owner").role == "innkeeper-regiond"


def test_the_region_may_not_be_the_owner() -> None:
    with pytest.raises(BadSettings, match="--owner NAME"):
        Target.of("postgresql://innkeeper@/innkeeper", "innkeeper")


def test_the_default_is_a_database_of_the_administrators_server() -> None:
    assert default_dsn(None, None) == SOCKET
    made = default_dsn(REMOTE, "a/b")
    assert made == (
        "postgresql://innkeeper-regiond:a%2Fb@db.example.net:5433/innkeeper?sslmode=verify-full&sslrootcert=/etc/ca.crt"
    )
    assert Target.of(made, "innkeeper").password == "a/b"  # noqa: S105


@pytest.mark.parametrize(
    ("dsn", "local", "socket"),
    [
        (SOCKET, True, True),
        ("postgresql:///innkeeper", True, True),
        ("postgresql://a:b@localhost/c", True, False),
        ("postgresql://a:b@[::1]:5433/c", True, False),
        (REMOTE, False, False),
        ("postgresql://a@/b?host=db.example", False, False),
    ],
)
def test_sockets_and_loopback_are_on_this_computer(dsn: str, local: bool, socket: bool) -> None:
    assert (is_local(dsn), is_socket(dsn)) == (local, socket)


def test_the_local_administrator_uses_the_same_socket() -> None:
    assert local_administrator(f"{SOCKET}&port=5433") == (
        "postgresql://postgres@/postgres?host=/var/run/postgresql&port=5433"
    )
    assert local_administrator("postgresql://a:b@127.0.0.1:5433/c?sslmode=require") == (
        "postgresql://postgres@/postgres?host=/var/run/postgresql&port=5433"
    )


def test_an_address_gets_another_database_and_role() -> None:
    dsn = as_login(in_database(f"{REMOTE}&options=-c%20geqo%3Doff", "a b"), "own er", "p@ss")
    parts = urlsplit(dsn)
    assert (parts.path, parts.username, parts.password) == ("/a%20b", "own%20er", "p%40ss")
    assert parse_qs(parts.query)["options"] == ["-c search_path=public"]
    assert "+" not in parts.query  # libpq does not read it as a space


def test_the_owner_logs_in_over_loopback_where_the_socket_asks_for_a_user() -> None:
    dsn = as_login(SOCKET, "innkeeper", "p", host="127.0.0.1", port=5433)
    assert dsn == "postgresql://innkeeper:p@127.0.0.1:5433/innkeeper?options=-c%20search_path%3Dpublic"


def test_a_role_that_exists_gets_no_made_up_password() -> None:
    with pytest.raises(BadSettings, match="exists on that server, and its password is not known here"):
        check(evolve(FINE, role_exists=True), TARGET, oldest=15, new_password=True)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (evolve(FINE, release=14), "PostgreSQL 14 is too old: Innkeeper requires 15"),
        (evolve(FINE, owner_exists=True, owner_logs_in=True), "innkeeper exists and can log in.*--owner NAME"),
        (evolve(FINE, role_exists=True, attributes=("superuser", "createrole")),
         'alter role "innkeeper-regiond" nosuperuser nocreaterole;'),
        (evolve(FINE, database_exists=True, relations=("public.a", "x.b")), "is not Innkeeper's: it has public.a, x.b"),
    ],
)  # fmt: skip
def test_what_is_not_innkeepers_is_refused(facts: Facts, message: str) -> None:
    with pytest.raises(BadSettings, match=message) as raised:
        check(facts, TARGET, oldest=15)
    assert "Nothing was changed" in raised.value.message


def test_what_an_earlier_setup_made_is_accepted() -> None:
    check(FINE, TARGET, oldest=15)
    tables = ("public.installation", "public.schema_migration")
    check(
        evolve(FINE, owner_exists=True, role_exists=True, database_exists=True, relations=tables, is_innkeeper=True),
        TARGET, oldest=15,
    )  # fmt: skip


def test_the_setting_is_written_where_it_is_explained() -> None:
    before = SETTINGS.read_text()
    after = with_database(before, SOCKET)
    assert tomllib.loads(after) == {"database": SOCKET}
    assert [line for line in after.splitlines() if line not in before.splitlines()] == [f'database = "{SOCKET}"']
    assert (
        after.splitlines().index(f'database = "{SOCKET}"') == before.splitlines().index(f'#database = "{SOCKET}"') + 1
    )
    assert with_database("", SOCKET) == f'database = "{SOCKET}"\n'
    assert tomllib.loads(with_database("a = 1\n[table]\nb = 2\n", SOCKET))["database"] == SOCKET


def test_a_password_is_stored_as_postgresql_does() -> None:
    """The password and the salt are those of RFC 7677."""
    assert scram("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
