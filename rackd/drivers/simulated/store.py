"""Stores a simulated host's guests, disks and changes in one SQLite file.

Several processes may open the same file. A write transaction takes SQLite's write lock with its first statement, so
what it reads stays true until it commits.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import HostUnreachable
from rackd.drivers.simulated.settings import TABLES

_BUSY_S = 10.0
_MAX_CHANGES = 1000

_SCHEMA = """
create table if not exists guest (
    guest_id        text primary key,
    name            text not null unique,
    installation_id text,
    machine_id      text,
    power           text not null,
    cores           integer not null,
    memory_mib      integer not null,
    unique (installation_id, machine_id)
) strict;
create table if not exists maximum (
    guest_id   text primary key references guest on delete cascade,
    memory_mib integer not null
) strict;
create table if not exists pinning (
    guest_id   text primary key references guest on delete cascade,
    core_ids   text not null,
    huge_pages integer not null
) strict;
create table if not exists volume (
    pool            text not null,
    name            text not null,
    size_bytes      integer not null,
    installation_id text,
    machine_id      text,
    primary key (pool, name)
) strict;
create table if not exists disk (
    guest_id text not null references guest on delete cascade,
    position integer not null,
    pool     text not null,
    volume   text not null,
    serial   text,
    primary key (guest_id, position),
    foreign key (pool, volume) references volume (pool, name)
) strict;
create table if not exists nic (
    guest_id    text not null references guest on delete cascade,
    position    integer not null,
    mac_address text not null,
    kind        text not null,
    source      text not null,
    primary key (guest_id, position)
) strict;
create table if not exists memory_node (
    guest_id text not null references guest on delete cascade,
    node_id  integer not null,
    primary key (guest_id, node_id)
) strict;
create table if not exists nic_settings (
    guest_id text not null references guest on delete cascade,
    position integer not null,
    settings text not null,
    primary key (guest_id, position)
) strict;
create table if not exists change (
    number     integer primary key autoincrement,
    event      text not null,
    guest_name text not null,
    guest_id   text not null,
    power      text
) strict;
create table if not exists deployment (
    guest_id       text primary key references guest on delete cascade,
    sha256         text not null,
    meta_data      text not null,
    user_data      blob not null,
    network_config text not null
) strict;
create table if not exists fetched (
    guest_id text primary key references deployment on delete cascade,
    content  blob not null
) strict;
create table if not exists boot (
    guest_id text primary key references guest on delete cascade,
    due_at   real not null
) strict;
create table if not exists live_copy (
    guest_id text not null references guest on delete cascade,
    pool     text not null,
    volume   text not null,
    state    text not null,
    primary key (pool, volume),
    foreign key (pool, volume) references volume (pool, name) on delete cascade
) strict;
create table if not exists written (
    pool   text not null,
    volume text not null,
    primary key (pool, volume),
    foreign key (pool, volume) references volume (pool, name) on delete cascade
) strict;
create table if not exists content (
    pool   text not null,
    volume text not null,
    at     integer not null,
    data   blob not null,
    primary key (pool, volume, at),
    foreign key (pool, volume) references written (pool, volume) on delete cascade
) strict;
create table if not exists lease (
    mac_address text primary key,
    guest_id    text not null references guest on delete cascade,
    source      text not null,
    address     text
) strict;
create table if not exists autostart (
    guest_id text primary key references guest on delete cascade
) strict;
create table if not exists boot_disk (
    guest_id text primary key references guest on delete cascade,
    pool     text not null,
    volume   text not null
) strict;
create table if not exists iso (
    guest_id text primary key references guest on delete cascade,
    sha256   text not null
) strict;
create table if not exists boot_order (
    guest_id text primary key references guest on delete cascade,
    devices  text,
    pending  text,
    once     text,
    once_key text
) strict;
create table if not exists generation (
    guest_id text primary key references guest on delete cascade,
    number   integer not null
) strict;
create table if not exists removal (
    guest_id text primary key references guest on delete cascade,
    facts    text not null
) strict;
create table if not exists seeded (at text not null) strict;
"""


class Store:
    """One connection to a host's file. One thread uses it at a time, not always the same."""

    def __init__(self, path: Path) -> None:
        """Creates the file and its tables if necessary. Raises HostUnreachable if that fails."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise HostUnreachable(f"Cannot open the simulated host's file {path.name}: {error}") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction, which commits if the block succeeds."""
        with self._translated():
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._trim()
                self._db.execute("commit")
            except BaseException:
                self._db.execute("rollback")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: all reads see the same snapshot."""
        with self._translated():
            self._db.execute("begin")
            try:
                yield self._db
            finally:
                self._db.execute("rollback")

    def version(self) -> int:
        """Returns a number that changes with every commit of another connection."""
        with self._translated():
            version: int = self._db.execute("pragma data_version").fetchone()[0]
            return version

    def close(self) -> None:
        self._db.close()

    def _prepare(self) -> None:
        """Retries, because two processes may switch to WAL mode at once, which does not wait for the lock."""
        self._db.execute("pragma foreign_keys = on")
        self._db.execute("pragma synchronous = normal")
        ends_at = time.monotonic() + _BUSY_S
        while True:
            try:
                self._db.execute("pragma journal_mode = wal")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.02)
        self._db.executescript(f"begin immediate;{_SCHEMA}{TABLES}commit;")

    def _trim(self) -> None:
        self._db.execute("delete from change where number <= (select max(number) from change) - ?", (_MAX_CHANGES,))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HostUnreachable(f"Cannot access the simulated host's file {self._path.name}: {error}") from error
