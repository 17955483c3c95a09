"""Reads what a dump of PostgreSQL's custom format would create, without any program: its table of contents."""

from __future__ import annotations

from attrs import define, field, frozen

from regiond.backup.model import BackupFailed

# Of PostgreSQL 12 to 18. A later one can have other fields.
_OLDEST, _NEWEST = (1, 14), (1, 16)
_ALGORITHM_SINCE, _KIND_SINCE = (1, 15), (1, 16)
_MOST_ENTRIES = 1_000_000
_TIME_FIELDS = 7
_CUSTOM = 1


@frozen(kw_only=True)
class DumpEntry:
    """One object of a dump: `kind` as pg_dump says it, such as TRIGGER, and the statement that creates it."""

    kind: str
    schema: str
    name: str
    owner: str = ""
    statement: str = field(default="", repr=False)

    @property
    def described(self) -> str:
        place = f"{self.schema}." if self.schema else ""
        text = f"{self.kind.lower()} {place}{self.name}"
        return "".join(one if one.isprintable() else "?" for one in text)


@define
class _Reader:
    _data: bytes
    _at: int = 0
    integer_bytes: int = 0

    def byte(self) -> int:
        return self.raw(1)[0]

    def raw(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise BackupFailed("The dump in the backup ends within its table of contents.")
        self._at += size
        return found

    def integer(self) -> int:
        sign = self.byte()
        value = int.from_bytes(self.raw(self.integer_bytes), "little")
        return -value if sign else value

    def text(self) -> str | None:
        size = self.integer()
        return None if size < 0 else self.raw(size).decode(errors="replace")


def read_entries(head: bytes) -> tuple[DumpEntry, ...]:
    """Returns the entries of the dump that begins with `head`. Raises BackupFailed for one that cannot be read."""
    reader = _Reader(head)
    if reader.raw(5) != b"PGDMP":
        raise BackupFailed("The backup has no dump of pg_dump's custom format.")
    version = (reader.byte(), reader.byte())
    reader.byte()
    if not _OLDEST <= version <= _NEWEST:
        raise BackupFailed(
            f"The dump in the backup has the format {version[0]}.{version[1]}, whose contents this release cannot "
            f"check: it knows {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]}. Restore it by a newer release."
        )
    reader.integer_bytes, offset_bytes = reader.byte(), reader.byte()
    if reader.byte() != _CUSTOM:
        raise BackupFailed("The backup has no dump of pg_dump's custom format.")
    _skip_header(reader, version)
    count = reader.integer()
    if not 0 <= count <= _MOST_ENTRIES:
        raise BackupFailed("The table of contents of the dump in the backup is damaged.")
    return tuple(_entry(reader, version, offset_bytes) for _ in range(count))


def _skip_header(reader: _Reader, version: tuple[int, int]) -> None:
    """Skips compression, time, name of the database, and releases of the server and of pg_dump."""
    if version >= _ALGORITHM_SINCE:
        reader.byte()
    else:
        reader.integer()
    for _ in range(_TIME_FIELDS):
        reader.integer()
    for _ in range(3):
        reader.text()


def _entry(reader: _Reader, version: tuple[int, int], offset_bytes: int) -> DumpEntry:
    reader.integer()  # its number
    reader.integer()  # whether it has data
    reader.text()
    reader.text()  # ids in the catalog
    name, kind = reader.text(), reader.text()
    reader.integer()  # section
    statement = reader.text()
    reader.text()  # how to drop it
    reader.text()  # how to copy its data
    schema = reader.text()
    reader.text()  # tablespace
    reader.text()  # table access method
    if version >= _KIND_SINCE:
        reader.integer()
    owner = reader.text()
    reader.text()
    while reader.text() is not None:
        pass  # what it depends on
    reader.raw(1 + offset_bytes)  # where its data is
    return DumpEntry(
        kind=kind or "", schema=schema or "", name=name or "", owner=owner or "", statement=statement or ""
    )
