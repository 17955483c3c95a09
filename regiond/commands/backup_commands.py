"""Backups and restores by the region's settings; `regiond/commands/backup_command_line.py` runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from common.errors import BadSettings, InnkeeperError, WrongState
from common.process.private_files import make_usable_folder
from common.trust.certificates import utc_now
from regiond.audit.service import Audit, local_request
from regiond.backup.archive import AUTHORITY, KEY, SETTINGS
from regiond.backup.dump_entries import read_entries
from regiond.backup.forward_store import forget_migration, lock_schema, record_migrations
from regiond.backup.model import AppliedMigration, BackupFailed, Contents, Manifest
from regiond.backup.restoring import check_empty, check_file, check_known, load, write_file
from regiond.backup.store import record_backup
from regiond.backup.writing import Source, check_key, verify, write_backup
from regiond.commands.database_setup.dump_check import check_dump
from regiond.credentials.master_key import CREDENTIAL, is_systemd_credential, open_master_key
from regiond.db.migrate import check_schema_version, has_schema, migrate
from regiond.db.migration_files import UNFINISHED_RESTORE, packaged
from regiond.db.pool import Database, Db, connect
from regiond.db.unfinished_restore import begin_restore, end_restore
from regiond.images.content import ContentFolder
from regiond.process.settings import RegionSettings
from regiond.racks.enrolment.installation import FOLDER as AUTHORITY_FOLDER
from regiond.racks.enrolment.installation import is_new_installation, open_authority
from regiond.recovery.restored_database import FilesHere, connected_regions, move_on, newest_moment
from regiond.wiring.images import CONTENTS, EXPORTS, FOLDER


async def back_up(
    settings: RegionSettings, toml: bytes | None, target: BinaryIO, passphrase: str,
    environment: Mapping[str, str], *, images: bool, read_back: bool = True,
) -> Contents:  # fmt: skip
    """Writes a backup into `target`; returns what `write_backup` does. `toml`: the file with the settings.

    Raises as `write_backup`, and BadSettings for a schema of a newer release or one that no region has used yet.
    """
    dsn = settings.required_database
    database = await Database.open(dsn, application_name="innkeeper-maintenance", min_size=1, max_size=1)
    try:
        async with database.transaction() as db:
            # An older schema is saved as it is: before an upgrade, the newer release may be installed already.
            await check_schema_version(db)
            if not await has_schema(db) or await is_new_installation(db):
                raise BadSettings("No region has used this database yet: there is nothing to save.")
            authority = await open_authority(db, settings.state)
        folder = await asyncio.to_thread(ContentFolder.open, settings.state / FOLDER)
        source = Source(
            dsn=dsn,
            master_key=open_master_key(settings.state, environment, create=False),
            authority_pem=(authority.key_pem + authority.certificate_pem).encode(),
            settings=toml,
            images=settings.state / FOLDER / CONTENTS if images else None,
            store_id=str(folder.store_id),
        )
        async with Audit(database).recorded(local_request("backup")):
            contents = await write_backup(source, target, passphrase, read_back=read_back)
        async with database.transaction() as db:
            await record_backup(db, contents.manifest.created_at, read_back=read_back)
        return contents
    finally:
        await database.close()


async def verify_backup(source: BinaryIO, passphrase: str) -> str:
    """Returns what a backup contains, in words. Raises BackupFailed if it is not complete."""
    contents = await asyncio.to_thread(verify, source, passphrase)
    made = contents.manifest
    return (
        f"Complete. Made at {made.created_at:%Y-%m-%d %H:%M} UTC by Innkeeper {made.release}, installation "
        f"{made.installation_id}: {contents.text()}."
    )


async def restore(settings: RegionSettings, source: BinaryIO, passphrase: str, environment: Mapping[str, str]) -> str:
    """Restores a backup into the empty database of the settings and into the state folder; returns what was done.

    Checks everything before it changes anything, and until its end no region starts on the database. Raises
    BackupFailed, WrongState if the database is not empty or a file is another one, and what `migrate` raises.
    """
    make_usable_folder(settings.state)
    contents = await asyncio.to_thread(verify, source, passphrase)
    check_known(contents.manifest, {(one.number, one.digest) for one in packaged()})
    recorded = {one.number for one in contents.manifest.migrations}
    entries = read_entries(contents.dump_head)
    files = _files(settings.state, contents.private, environment)
    dsn = settings.required_database
    connection = await connect(dsn, application_name="innkeeper-restore")
    try:
        await check_empty(connection)
        is_first = await asyncio.to_thread(begin_restore, settings.state)
        try:
            await check_dump(connection, entries, [one for one in packaged() if one.number in recorded])
        except InnkeeperError:
            if is_first:  # nothing was changed
                end_restore(settings.state)
            raise
        folder = await asyncio.to_thread(ContentFolder.open, settings.state / FOLDER)
        await _load(dsn, source, passphrase, settings.state / FOLDER / CONTENTS, connection.get_server_version().major)
        async with connection.transaction():
            await record_migrations(connection, (*contents.manifest.migrations, _unfinished()))
        end_restore(settings.state)
    finally:
        await connection.close(timeout=10.0)
    for path, content in files.items():
        write_file(path, content, replaces=path.name.startswith(SETTINGS))  # never a key
    await migrate(dsn, (*packaged(), UNFINISHED_RESTORE))
    moved = await _move_on(dsn, contents.manifest, folder)
    return f"Installation {contents.manifest.installation_id}. {moved}\n{_next_steps(files)}"


async def _load(dsn: str, source: BinaryIO, passphrase: str, images: Path, server: int) -> None:
    try:
        await asyncio.to_thread(load, dsn, source, passphrase, images, server=server)
    except OSError as error:
        raise BackupFailed(
            f"The images of the backup were not written to {images}: {error.strerror}. The database is still empty. "
            "Free space there and repeat the command."
        ) from error


def _files(state: Path, private: Mapping[str, bytes], environment: Mapping[str, str]) -> dict[Path, bytes]:
    """Returns the files to write. Raises WrongState for one that exists with another content."""
    found = {state / AUTHORITY_FOLDER / AUTHORITY: private[AUTHORITY]}
    if is_systemd_credential(environment):
        path = Path(environment["CREDENTIALS_DIRECTORY"]) / CREDENTIAL
        check_file(path, private[KEY])
    else:
        found[state / KEY] = private[KEY]
    for path, content in found.items():
        check_file(path, content)
    if SETTINGS in private:
        found[state / f"{SETTINGS}.restored"] = private[SETTINGS]
    return found


def _unfinished() -> AppliedMigration:
    one = UNFINISHED_RESTORE
    return AppliedMigration(number=one.number, name=one.name, digest=one.digest, release=None, applied_at=utc_now())


async def _move_on(dsn: str, manifest: Manifest, folder: ContentFolder) -> str:
    """Moves the database on in one transaction; from then on regions start on it. Returns what was done, in words."""
    at = manifest.created_at
    files = _files_here(folder, None if manifest.store_id is None else UUID(manifest.store_id))
    database = await Database.open(dsn, application_name="innkeeper-restore", min_size=1, max_size=1)
    try:
        async with Audit(database).recorded(local_request("restore")), database.transaction() as db:
            moved = await move_on(db, at, f"from a backup of {at:%Y-%m-%d %H:%M} UTC", files)
            await forget_migration(db, UNFINISHED_RESTORE.number)
            return moved
    finally:
        await database.close()


def _files_here(folder: ContentFolder, before: UUID | None) -> FilesHere:
    exports = folder.root / EXPORTS
    found = {one.name: one.stat().st_size for one in exports.iterdir()} if exports.is_dir() else {}
    return FilesHere(before=before, folder=folder.store_id, contents=folder.hashes(), exports=found)


async def recovered(settings: RegionSettings, environment: Mapping[str, str]) -> str:
    """Moves a database on that PostgreSQL itself brought back to an earlier moment; returns what was done.

    Raises WrongState while a region is connected, BadSettings for keys that are not those of the database, and what
    `migrate` raises.
    """
    dsn = settings.required_database
    database = await Database.open(dsn, application_name="innkeeper-restore", min_size=1, max_size=1)
    try:
        async with database.connection() as db:
            await _require_no_regions(db)  # before the schema changes
        await migrate(dsn)
        async with Audit(database).recorded(local_request("recovered")), database.transaction() as db:
            await lock_schema(db)  # a region that starts now waits for the end
            await _require_no_regions(db)
            await _check_keys(db, settings, environment)
            at = await newest_moment(db)
            folder = await asyncio.to_thread(ContentFolder.open, settings.state / FOLDER)
            files = _files_here(folder, folder.store_id)
            return f"{await move_on(db, at, f'to its state of {at:%Y-%m-%d %H:%M} UTC', files)}\n{_next_steps(())}"
    finally:
        await database.close()


async def _require_no_regions(db: Db) -> None:
    if regions := await connected_regions(db):
        raise WrongState(
            f"Regions are connected to the database, from {', '.join(regions)}. Nothing was changed. Stop "
            "every region, on other computers too: systemctl stop innkeeper-regiond"
        )


async def _check_keys(db: Db, settings: RegionSettings, environment: Mapping[str, str]) -> None:
    if await is_new_installation(db):
        raise BadSettings("No region has used this database yet: there is nothing to move on.")
    await open_authority(db, settings.state)
    await check_key(db, open_master_key(settings.state, environment, create=False))


def _next_steps(files: Collection[Path]) -> str:
    settings = [str(path) for path in files if path.name.startswith(SETTINGS)]
    compare = f"Compare your settings with {settings[0]}. " if settings else ""
    return (
        f"{compare}Start the region; then see what changed since: innkeeper region check. Accounts, API keys, "
        "racks and RPC clients are those of the backup: remove again what you had removed since."
    )
