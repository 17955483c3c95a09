"""SQL for the settings of a machine's guest, as its host has just reported them."""

from __future__ import annotations

from typing import Any

from common.guest_facts import SETTINGS
from common.serialization import to_dict
from regiond.db.pool import Db
from regiond.machines.core.boot_store import settle

_RECORD = f"""
    update guest g set ({", ".join(SETTINGS)}) = (
        select {", ".join(f"found.{name}" for name in SETTINGS)} from jsonb_populate_record(g, $2::jsonb) found)
     where g.machine_id = $1
"""  # noqa: S608  a constant


async def record_settings(db: Db, machine_id: int, **settings: Any) -> None:
    """Records these attributes of `GuestSettings`, and no others."""
    await db.execute(_RECORD, machine_id, to_dict(settings))
    await settle(db, machine_id)
