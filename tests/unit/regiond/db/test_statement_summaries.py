"""The name of a statement in a trace: its verb and its tables, never a value."""

from __future__ import annotations

import pytest

from regiond.db.statement_spans import summary_of


@pytest.mark.parametrize(
    ("query", "summary"),
    [
        ("select 1", "select"),
        ("BEGIN;", "begin"),
        ("", "empty"),
        ("select a from machine m join vm_host h on h.id = m.host_id where m.name = 'x'", "select machine vm_host"),
        ("insert into event (kind) values ($1)", "insert event"),
        ("insert into a (b) values ($1) on conflict (b) do  update\n set b = excluded.b", "insert a"),
        ("update operation set state = $1", "update operation"),
        ("select true from account where id = $1 for no key update", "select account"),
        ("select true from account for update skip locked", "select account"),
        ("select * from jsonb_to_recordset($1) x join lateral (select 1) y on true", "select"),
        ("select extract(epoch from now()) from server", "select server"),
        ("select old from a where a.x is distinct from b.x", "select a"),
        ("with due as (select id from operation) update operation o set x = 1", "update operation"),
        ("with due as (select id from operation) select * from due", "select operation due"),
        ("select * from a, b join c on true join d on true join e on true join f on true join g on true",
         "select a c d e f"),
    ],
)  # fmt: skip
def test_a_statement_is_named_after_its_verb_and_tables(query: str, summary: str) -> None:
    assert summary_of(query) == summary
