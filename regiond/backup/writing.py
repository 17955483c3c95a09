"""Writes a backup while the region runs, and reads it back."""

from __future__ import annotations

import asyncio
import base64
import errno
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from attrs import evolve, frozen

from common.process.private_files import DISK_FULL_ERRNOS
from common.release import running_release
from regiond.backup import programs, store
from regiond.backup.age import WORK_FACTOR
from regiond.backup.archive import AUTHORITY, KEY, SETTINGS, ArchiveReader, ArchiveWriter
from regiond.backup.model import BackupFailed, Contents, Manifest, SavedImage
from regiond.credentials.seal import MasterKey, check
from regiond.db.pool import Db, connect

# Without the transaction its snapshot is gone, and it is idle while `pg_dump` works.
_MOST_HEAD_BYTES = 32 * 1024 * 1024  # the table of contents of Innkeeper's tables has less than one
_NO_IDLE_LIMIT = {"idle_in_transaction_session_timeout": "0"}


@frozen(kw_only=True)
class Source:
    """The parts of an installation that a backup saves.

    `images`: the folder with the contents of images by hash; None: only their list. `store_id`: the id of that folder.
    """

    dsn: str
    master_key: MasterKey
    authority_pem: bytes
    settings: bytes | None
    images: Path | None = None
    store_id: str | None = None


async def write_backup(
    source: Source, target: BinaryIO, passphrase: str, *, read_back: bool = True, work_factor: int = WORK_FACTOR
) -> Contents:
    """Writes the backup into `target`, and returns what reading it back has found.

    `read_back`: False for a pipe; then it returns what was written.
    Raises BackupFailed, DatabaseUnavailable, and BadSettings if the master key is not that of the database.
    """
    connection = await connect(source.dsn, application_name="innkeeper-backup", settings=_NO_IDLE_LIMIT)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await store.export_snapshot(connection)
            manifest = await _manifest(connection, source)
            try:
                written = await asyncio.to_thread(_write, source, manifest, snapshot, target, passphrase, work_factor)
            except OSError as error:
                raise _not_written(error) from error
    finally:
        await connection.close(timeout=10.0)
    return await asyncio.to_thread(_read_back, target, passphrase) if read_back else written


async def check_key(db: Db, master_key: MasterKey) -> tuple[str, str | None]:
    """Returns id and authority of the installation. Raises BadSettings if its secrets have another master key."""
    installation_id, authority, sealed = await store.installation(db)
    if sealed is not None:
        check(master_key, sealed)
    return installation_id, authority


async def _manifest(db: Db, source: Source) -> Manifest:
    installation_id, authority = await check_key(db, source.master_key)
    folder = source.images
    included = [] if folder is None or not folder.is_dir() else [path.name for path in folder.iterdir()]
    return Manifest(
        release=running_release(),
        created_at=datetime.now(UTC),
        installation_id=installation_id,
        authority_fingerprint=authority,
        master_key_id=source.master_key.id.hex(),
        postgresql=await store.server_version(db),
        migrations=await store.applied_migrations(db),
        store_id=source.store_id,
        counts=await store.counts(db),
        images=await store.images(db, included=included),
    )


def _write(
    source: Source, manifest: Manifest, snapshot: str, target: BinaryIO, passphrase: str, work_factor: int
) -> Contents:
    program = programs.find("pg_dump", at_least=postgresql_release(manifest))
    archive = ArchiveWriter(target, passphrase, work_factor=work_factor)
    private = {KEY: base64.b64encode(source.master_key.material) + b"\n", AUTHORITY: source.authority_pem}
    if source.settings is not None:
        private[SETTINGS] = source.settings
    archive.begin(manifest, private)
    programs.dump(source.dsn, program, snapshot=snapshot, without_rows_of=store.MIGRATIONS, on_data=archive.write_dump)
    for one in _contents(manifest).values():
        with ((source.images or Path()) / one.sha256).open("rb") as file:
            _check_length(one, os.fstat(file.fileno()).st_size)
            archive.write_image(one.sha256, one.size_bytes, file)
    dump_bytes = archive.end()
    target.flush()
    if target.seekable():
        os.fsync(target.fileno())
    return Contents(manifest=manifest, dump_bytes=dump_bytes, private=private)


def _contents(manifest: Manifest) -> Mapping[str, SavedImage]:
    """The images to save, by content: two can have the same."""
    return {one.sha256: one for one in manifest.images if one.included}


def _check_length(image: SavedImage, found_bytes: int) -> None:
    if found_bytes != image.size_bytes:
        raise BackupFailed(
            f"The file of the image {image.name} has {found_bytes:,} bytes instead of {image.size_bytes:,}: the backup "
            "was not written. Delete the image or add it again, or make the backup without --images."
        )


def _read_back(target: BinaryIO, passphrase: str) -> Contents:
    target.seek(0)
    os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # from the disk, not from memory
    return verify(target, passphrase)


def verify(source: BinaryIO, passphrase: str) -> Contents:
    """Reads a backup to its end, with the dump through `pg_restore`. Raises BackupFailed."""
    archive = ArchiveReader.open(source, passphrase)
    program = programs.find("pg_restore", at_least=postgresql_release(archive.manifest))
    head = bytearray()
    with programs.restoration(program, None) as on_dump:

        def read(data: bytes) -> None:
            head.extend(data[: _MOST_HEAD_BYTES - len(head)])
            on_dump(data)

        contents = archive.read(read)
    missing = {KEY, AUTHORITY} - archive.private.keys()
    if missing:
        raise BackupFailed(f"The backup has no {' and no '.join(sorted(missing))}.")
    return evolve(contents, dump_head=bytes(head))


def postgresql_release(manifest: Manifest) -> int:
    return int(manifest.postgresql.partition(".")[0])


def _not_written(error: OSError) -> BackupFailed:
    if error.errno in DISK_FULL_ERRNOS:
        return BackupFailed("The disk is full: the backup was not written. An earlier file of that name is unchanged.")
    if error.errno == errno.EPIPE:
        return BackupFailed("The program that reads the backup has ended: its copy is incomplete. Delete it.")
    if error.errno == errno.ENOENT:
        return BackupFailed(f"{error.filename} has disappeared: the backup was not written. Try again.")
    return BackupFailed(f"The backup was not written: {error.strerror or error}.")
