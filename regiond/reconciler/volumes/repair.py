"""Opens the operation that removes a volume that no guest uses."""

from __future__ import annotations

from common.hosts.discovery import VolumeRef
from common.values import OwnershipMarker
from regiond.db.pool import Db
from regiond.machines.core.operation_intents import open_volume_removal
from regiond.racks.service import read_installation_id
from regiond.reconciler.model import Discrepancy
from regiond.reconciler.volumes import store
from regiond.reconciler.volumes.detection import detect


async def remove_volume(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the operation, which changes no guest, and fails if a guest uses the volume by then."""
    volume_id = discrepancy.id_of("volume")
    await store.lock(db, volume_id)
    found = await store.orphaned_volumes(db, volume_id)
    current = discrepancy.revalidated(detect(volume) for volume in found)
    if current is None or current.host_id is None or current.host_name is None:
        return None
    (volume,) = found
    marker = OwnershipMarker(installation_id=await read_installation_id(db), machine_id=volume.marker)
    ref = VolumeRef(pool_id=volume.pool_key, name=volume.name, project=volume.project)
    operation_id = await open_volume_removal(db, current.host_id, current.host_name, marker, (ref,))
    return f"{current.found}: operation {operation_id} deletes it"
