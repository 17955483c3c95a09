"""Opens the installation's certificate authority and checks that it fits the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

from common.errors import BadSettings
from regiond.db.pool import Db
from regiond.racks import store
from regiond.racks.enrolment.authority import Authority

FOLDER = "authority"


async def is_new_installation(db: Db) -> bool:
    """Returns whether no region has used the database yet. Locks the installation until the transaction ends."""
    return await store.authority_fingerprint(db) is None


async def open_authority(db: Db, state: Path) -> Authority:
    """Returns the authority in the folder `state`, created at the first start. Joins the caller's transaction.

    Raises BadSettings if the database belongs to another authority. A wrong path must not create a new one, since
    every rack would have to enrol again.
    """
    folder = state / FOLDER
    known = await store.authority_fingerprint(db)
    if known is not None and not Authority.exists_in(folder):
        raise BadSettings(
            f"{folder} does not contain the authority of this installation (SHA-256 {known}). Check the setting "
            "`state`. If it is right, restore the folder from a backup. If the authority is lost, run "
            "`regiond replace-authority`; then every rack and RPC client has to enrol again."
        )
    authority = await asyncio.to_thread(Authority.open, folder)
    if known is None:
        await store.set_authority_fingerprint(db, authority.fingerprint)
    elif known != authority.fingerprint:
        raise BadSettings(
            f"{folder} contains the authority {authority.fingerprint}, but this installation uses {known}. Restore the "
            "right one, or run `regiond replace-authority`; then every rack and RPC client has to enrol again."
        )
    return authority


async def replace_authority(db: Db, state: Path) -> str:
    """Assigns the authority in `state`, created if missing, to the installation. Returns its fingerprint."""
    authority = await asyncio.to_thread(Authority.open, state / FOLDER)
    await store.set_authority_fingerprint(db, authority.fingerprint)
    return authority.fingerprint
