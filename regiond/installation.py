"""An installation is a database and an authority that belong together: a region starts with both or not at all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import BadSettings
from regiond.racks import store
from regiond.racks.authority import Authority

if TYPE_CHECKING:
    from regiond.db.pool import Db

FOLDER = "authority"


async def open_authority(db: Db, state: Path) -> Authority:
    """The authority kept in `state`, made at the very first start. In the caller's transaction.

    Raises BadSettings when the database was used with another one: with a new authority every rack would be a stranger,
    so a slip in a path must not make one.
    """
    folder = state / FOLDER
    known = await store.authority_fingerprint(db)
    if known is not None and not Authority.is_kept_in(folder):
        raise BadSettings(
            f"{folder} does not hold this installation's authority (SHA-256 {known}). Is `state` the right folder? If "
            "so, bring it back from a backup; if it is lost, `regiond replace-authority` makes a new one, and every "
            "rack and RPC client has to join again."
        )
    authority = await asyncio.to_thread(Authority.open, folder)
    if known is None:
        await store.set_authority_fingerprint(db, authority.fingerprint)
    elif known != authority.fingerprint:
        raise BadSettings(
            f"{folder} holds another authority ({authority.fingerprint}) than this installation's ({known}). Bring the "
            "right one back, or run `regiond replace-authority`: then every rack and RPC client has to join again."
        )
    return authority


async def replace_authority(db: Db, state: Path) -> str:
    """From now on the authority in `state`, made if there is none, is the installation's; its fingerprint."""
    authority = await asyncio.to_thread(Authority.open, state / FOLDER)
    await store.set_authority_fingerprint(db, authority.fingerprint)
    return authority.fingerprint
