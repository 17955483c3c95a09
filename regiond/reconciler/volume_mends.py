"""The removal of a volume that no guest has: by itself when its machine was given up, else when a person approved."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from common.discovery import VolumeRef
from common.values import Mark
from regiond.machines.opening import open_volume_removal
from regiond.racks import store as rack_store
from regiond.reconciler import volume_store
from regiond.reconciler.model import Difference
from regiond.reconciler.volumes import judge

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def remove_volume(db: Db, difference: Difference) -> str | None:
    """By an operation that touches no guest, and that fails when a guest has the volume by then."""
    volume_id = difference.number_of("volume")
    await volume_store.lock(db, volume_id)
    found = await volume_store.unused_volumes(db, volume_id)
    again = difference.again(judge(volume) for volume in found)
    if again is None or again.host_id is None or again.host_name is None:
        return None
    (volume,) = found
    installation_id: UUID = await rack_store.installation_id(db)
    operation_id = await open_volume_removal(
        db, again.host_id, again.host_name, Mark(installation_id=installation_id, machine_id=volume.mark),
        (VolumeRef(pool_id=volume.pool_key, name=volume.name, project=volume.project),),
    )  # fmt: skip
    return f"{again.found}: operation {operation_id} removes it"
