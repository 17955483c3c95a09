"""Reads the SQL script of `pg_dump`, `pg_dumpall` or `pg_restore` as a stream: the wanted rows by database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from attrs import define, field

from common.errors import InvalidRequest
from innkeeper.maas_import.copy_text import header_of, names_of
from innkeeper.maas_import.stopping import Lines
from innkeeper.maas_import.tables import MAX_LINE_BYTES, Kept, TableReader, Tables, too_long
from innkeeper.maas_import.wanted import TABLES

_END = b"\\."
_CLUSTER, _ONE = b"-- PostgreSQL database cluster dump", b"-- PostgreSQL database dump"
_COMPLETE = b" complete"
_ENCODINGS = {"UTF8", "UNICODE", "SQL_ASCII"}
_SET_ENCODING = re.compile(rb"^SET client_encoding = '([^']*)'")
_CONNECT = re.compile(r"^\\connect (?:-reuse-previous=on )?(.+)$")
_DBNAME = re.compile(r"dbname='((?:[^'\\]|\\.)*)'")
_MAX_OTHERS = 200
_MAX_DATABASES = 1000
_INSERT = re.compile(rb"^INSERT INTO (?:public\.)?maasserver_")


@define
class Script:
    """The tables of a script by database. The name of the database of a plain `pg_dump` is empty."""

    databases: dict[str, Tables] = field(factory=dict)
    blocks: int = 0
    _kept: Kept = field(factory=Kept)
    open_frames: Counter[bytes] = field(factory=Counter)  # beginnings of dumps whose ends were not read yet

    def tables_of(self, database: str) -> Tables:
        """Raises InvalidRequest for more databases than a server has."""
        if len(self.databases) > _MAX_DATABASES:
            raise InvalidRequest(f"The dump has more than {_MAX_DATABASES} databases, which no server of a MAAS has.")
        return self.databases.setdefault(database, Tables(kept=self._kept))


def read_script(stream: Lines, *, database: str | None = None, tables: Iterable[str] = TABLES) -> Script:
    """Returns the wanted rows of all databases, or of one. Raises InvalidRequest for a script that was cut.

    Only wanted rows are kept in memory; the length of a line of others does not matter.
    """
    found, current = Script(), ""
    wanted = set(tables)
    while line := stream.readline(MAX_LINE_BYTES):
        if line.startswith(b"COPY "):
            _read_block(
                stream, line, found, current, wanted if current in {"", database} or database is None else set()
            )
        elif line.startswith(b"\\connect "):
            current = _connected(line)
        elif line.startswith(b"-- PostgreSQL database "):
            _note_frame(found, line.rstrip())
        elif line.startswith(b"SET client_encoding") and (encoding := _SET_ENCODING.match(line)):
            _check_encoding(encoding[1].decode(errors="replace"))
        elif line.startswith(b"INSERT INTO ") and _INSERT.match(line):
            raise InvalidRequest(
                "The dump has its rows as INSERT statements. Make it without --inserts, --column-inserts and "
                "--rows-per-insert: pg_dump --format=custom."
            )
    if found.open_frames.total():
        raise cut_off("it has no end")
    return found


def cut_off(where: str) -> InvalidRequest:
    return InvalidRequest(
        f"The dump is not complete: {where}. It was cut off while it was written or copied; make a new one and compare "
        "the sizes of the files."
    )


def _read_block(stream: Lines, line: bytes, found: Script, database: str, wanted: set[str]) -> None:
    header = header_of(line.decode(errors="replace").rstrip("\n").rstrip("\r"))
    if header is None:
        return
    found.blocks += 1
    schema, table, columns = header
    tables = found.tables_of(database)
    if table in wanted and TABLES[table].schema == schema:
        reader = TableReader(tables, table, tuple(columns))
        while row := stream.readline(MAX_LINE_BYTES + 1):
            text = row.rstrip(b"\r\n") if row.endswith(b"\n") else row
            if text == _END:
                return
            if not row.endswith(b"\n"):
                break
            reader.add(text)
        if len(row) > MAX_LINE_BYTES:
            raise too_long(table)
    else:
        if len(tables.others) < _MAX_OTHERS:
            tables.others.add(table)
        is_new = True  # a long line arrives in pieces, and its end is no line
        while row := stream.readline(MAX_LINE_BYTES):
            if is_new and row.rstrip(b"\r\n") == _END:
                return
            is_new = row.endswith(b"\n")
    raise cut_off(f"it ends among the rows of {table}")


def _connected(line: bytes) -> str:
    match = _CONNECT.match(line.decode(errors="replace").strip())
    if match is None:
        return ""
    # Newer releases quote a connection string, whose quotes double.
    name = (names_of(match[1]) or [""])[0]
    if (found := _DBNAME.search(name)) is not None:
        return re.sub(r"\\(.)", r"\1", found[1])
    return name


def _note_frame(found: Script, line: bytes) -> None:
    if line in {_CLUSTER, _ONE}:
        found.open_frames[line] += 1
    elif line.endswith(_COMPLETE):
        begun = line.removesuffix(_COMPLETE)
        if found.open_frames[begun] > 0:
            found.open_frames[begun] -= 1


def _check_encoding(name: str) -> None:
    if name.upper().replace("-", "") not in _ENCODINGS:
        raise InvalidRequest(f"The dump is in the encoding {name}. Make it with pg_dump --encoding=UTF8.")
