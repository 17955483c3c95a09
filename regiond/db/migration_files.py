"""The numbered SQL files of the schema, and what their first lines say of them."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from attrs import frozen

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_OUTSIDE = "-- no transaction"
_USABLE = re.compile(r"(?:--.*\n)*?-- usable by releases that know (\d{4})\n")

# Of the files that were applied.
CREATE_TABLE = """
    create table if not exists schema_migration (
        number integer primary key,
        name text not null,
        digest text not null,
        applied_at timestamptz not null default now(),
        release text,
        usable_from integer
    )
"""


@frozen(kw_only=True)
class Migration:
    """One file. It runs outside a transaction if its first line is `-- no transaction`.

    Such a file contains one statement that PostgreSQL rejects inside a transaction and that can be repeated
    (`create index concurrently if not exists`): a crash before it is recorded repeats it.

    With a comment `-- usable by releases that know 0001` at its start, regions continue that know that file but not
    this one; without it they stop. Such a file changes one table that exists, in a transaction of its own.
    """

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def outside_transaction(self) -> bool:
        return self.sql.startswith(_OUTSIDE)

    @property
    def within_transaction(self) -> str:
        """The SQL for a database that nobody else uses, where a transaction may contain all of it."""
        return self.sql.replace(" concurrently", "") if self.outside_transaction else self.sql

    @property
    def usable_from(self) -> int:
        """The number of the newest file that a region has to know to use the schema after this one."""
        found = _USABLE.match(self.sql)
        return self.number if found is None else int(found[1])

    @property
    def lets_regions_continue(self) -> bool:
        return self.usable_from < self.number

    @property
    def is_alone(self) -> bool:
        return self.outside_transaction or self.lets_regions_continue


# Recorded while a restore has not moved the numbers of the database on: no region starts on it.
UNFINISHED_RESTORE = Migration(number=9999, name="9999_unfinished_restore.sql", sql="select 1")


@cache  # installing a newer release over a running one adds files that the running one does not know
def packaged(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """Returns the migrations of this release in order, as they were at the first call."""
    files = resources.files("regiond.db.migrations") if folder is None else folder
    names = sorted(entry.name for entry in files.iterdir() if entry.name.endswith(".sql"))
    return tuple(migration(name, files.joinpath(name).read_text("utf-8")) for name in names)


def migration(name: str, sql: str) -> Migration:
    """Raises ValueError unless the name is like 0001_subject.sql."""
    matched = _NAME.fullmatch(name)
    if matched is None:
        raise ValueError(f"{name} is not named like 0001_subject.sql")
    return Migration(number=int(matched[1]), name=name, sql=sql)
