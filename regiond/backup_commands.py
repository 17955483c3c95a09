"""Backups and restores by the region's settings; `regiond/backup_command_line.py` runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import BinaryIO

from common.errors import BadSettings
from regiond.audit.service import Audit, local_request
from regiond.backup.model import Contents
from regiond.backup.service import Source, verify, write_backup
from regiond.credentials.service import open_master_key
from regiond.db.migrate import migrate
from regiond.db.pool import Database
from regiond.racks.enrolment.installation import is_new_installation, open_authority
from regiond.settings import RegionSettings
from regiond.wiring.images import CONTENTS, FOLDER


async def back_up(
    settings: RegionSettings, toml: bytes | None, target: BinaryIO, passphrase: str,
    environment: Mapping[str, str], *, images: bool,
) -> Contents:  # fmt: skip
    """Writes a backup into `target`; returns what reading it back has found. `toml`: the file with the settings.

    Raises as `write_backup`, and BadSettings for an installation that no region has used yet.
    """
    dsn = settings.required_database
    await migrate(dsn)
    database = await Database.open(dsn, application_name="innkeeper-maintenance", min_size=1, max_size=1)
    try:
        async with database.transaction() as db:
            if await is_new_installation(db):
                raise BadSettings("No region has used this database yet: there is nothing to save.")
            authority = await open_authority(db, settings.state)
        source = Source(
            dsn=dsn,
            master_key=open_master_key(settings.state, environment, create=False),
            authority_pem=(authority.key_pem + authority.certificate_pem).encode(),
            settings=toml,
            images=settings.state / FOLDER / CONTENTS if images else None,
        )
        async with Audit(database).recorded(local_request("backup")):
            return await write_backup(source, target, passphrase)
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
