"""Opens the operation that applies a machine's autostart setting to its guest."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.machines.core import view_store as machine_view_store
from regiond.machines.hardware import autostart
from regiond.racks.service import read_installation_id
from regiond.reconciler.autostart import detection, store
from regiond.reconciler.model import Discrepancy


async def set_autostart(db: Db, discrepancy: Discrepancy) -> str | None:
    found = [detection.detect(one) for one in await store.wrong_autostarts(db, discrepancy.id_of("machine"))]
    current = discrepancy.revalidated(found)
    if current is None or current.system_id is None:
        return None
    machine = await machine_view_store.read(db, current.system_id)
    operation_id = await autostart.open_set_autostart(db, machine, await read_installation_id(db))
    return None if operation_id is None else f"{current.found}: operation {operation_id} sets it"
