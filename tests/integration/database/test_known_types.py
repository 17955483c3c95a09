"""PostgreSQL's own types are asked for once in a process, not on each connection; other types on each."""

from __future__ import annotations

import pytest
from asyncpg.connection import LoggedQuery

from regiond.db.connection import forget_types
from regiond.db.pool import connect

pytestmark = [pytest.mark.database, pytest.mark.own_database]  # it looks at what a connection asks


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    forget_types()


async def asked(dsn: str, query: str, value: object) -> list[bool]:
    """Whether each of two new connections asked for types for `query`, which has to return `value`."""
    answers = []
    for _ in range(2):
        statements: list[str] = []

        def note(logged: LoggedQuery, statements: list[str] = statements) -> None:
            statements.append(logged.query)

        connection = await connect(dsn, application_name="test")
        try:
            connection.add_query_logger(note)
            assert await connection.fetchval(query) == value
            assert await connection.fetchval(query) == value
        finally:
            await connection.close()
        answers.append(any("typeinfo_tree" in statement for statement in statements))
    return answers


async def test_the_second_connection_knows_the_types(database_url: str) -> None:
    assert await asked(database_url, "select array[1, 2]::integer[]", [1, 2]) == [True, False]


@pytest.mark.needs_owner
async def test_a_type_of_the_database_is_asked_for_each_time(database_url: str) -> None:
    connection = await connect(database_url, application_name="test")
    await connection.execute("create type pair as (first integer, second text)")
    await connection.close()
    assert await asked(database_url, "select row(1, 'a')::pair", (1, "a")) == [True, True]
