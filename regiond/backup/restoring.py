"""Loads a backup into an empty database and an empty state folder."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from common.errors import WrongState
from common.process.private_files import make_private_folder, write_private
from common.words.phrases import first_of, number_of
from regiond.backup import programs, store
from regiond.backup.archive import ArchiveReader
from regiond.backup.model import AppliedMigration, BackupFailed, Manifest
from regiond.backup.writing import postgresql_release
from regiond.db.pool import Db
from regiond.db.relations import relations

_SHOWN = 5
_COPY_BYTES = 1024 * 1024


async def check_empty(db: Db) -> None:
    """Raises WrongState, with what was found, unless the database has no tables."""
    found = await relations(db)
    if not found:
        return
    name = await db.fetchval("select current_database()")
    raise WrongState(
        f"The database {name} is not empty: {await _found(db, found)}. A backup is restored into an empty database. "
        "Nothing was changed. Create another one and name it in the setting 'database'."
    )


async def _found(db: Db, names: Collection[str]) -> str:
    named = {one.partition(".")[2] for one in names}
    if {"installation", "machine", "vm_host"} <= named:
        installation_id, *_ = await store.installation(db)
        counts = await store.counts(db)
        on_hosts = f"{number_of(counts['machine'], 'VM')} on {number_of(counts['vm_host'], 'VM host')}"
        return f"it has the installation {installation_id} with {on_hosts}"
    return f"it has {first_of(sorted(names), _SHOWN)}"


def check_known(manifest: Manifest, known: Collection[tuple[int, str]]) -> None:
    """Raises BackupFailed for a schema that this release does not know. `known`: number and digest of migrations."""
    numbers = {number for number, _ in known}
    unknown = [one for one in manifest.migrations if one.number not in numbers]
    if unknown:
        raise BackupFailed(
            f"The backup was made by Innkeeper {manifest.release}, which is newer than this release: it has "
            f"{first_of([one.name for one in unknown], _SHOWN)}. Nothing was changed. Install {manifest.release} or a "
            "newer release."
        )
    edited: list[AppliedMigration] = [one for one in manifest.migrations if (one.number, one.digest) not in known]
    if edited:
        raise BackupFailed(
            f"The backup was made by an unreleased Innkeeper: its {edited[0].name} differs from this release. Nothing "
            "was changed."
        )


def load(dsn: str, source: BinaryIO, passphrase: str, images: Path, *, server: int) -> ArchiveReader:
    """Loads the dump in one transaction and the images into the folder. Blocks: call it in a thread.

    `server`: the major release of PostgreSQL into which it is loaded.
    """
    source.seek(0)
    archive = ArchiveReader.open(source, passphrase)
    program = programs.find("pg_restore", at_least=postgresql_release(archive.manifest))
    with programs.restoration(program, dsn, server=server) as on_dump:
        archive.read(on_dump, lambda sha256, file: _write_image(images / sha256, file))
    return archive


def _write_image(path: Path, file: BinaryIO) -> None:
    make_private_folder(path.parent)
    temporary = path.with_name(f".{path.name}.restored")
    try:
        with temporary.open("wb") as copy:
            while data := file.read(_COPY_BYTES):
                copy.write(data)
            copy.flush()
            os.fsync(copy.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_file(path: Path, content: bytes) -> None:
    """Raises WrongState if the file has another content: it may be the only copy of a key."""
    if path.exists() and path.read_bytes().strip() != content.strip():
        raise WrongState(
            f"{path} exists and is not that of the backup. Nothing was changed. Move it away, or set 'state' to "
            "an empty folder."
        )


def write_file(path: Path, content: bytes, *, replaces: bool) -> None:
    """Leaves a file that exists as it is, unless this one `replaces` it. Removes what a killed restore has left."""
    make_private_folder(path.parent)
    for unfinished in path.parent.glob(f".{path.name}.????????"):
        unfinished.unlink()
    if replaces or not path.exists():
        write_private(path, content.decode())
