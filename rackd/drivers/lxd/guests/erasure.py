"""Empties the custom volumes of a guest that is off: LXD deletes a volume only while no instance has it.

The instance's config holds the devices that are detached meanwhile, so that a retry attaches them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import structlog

from common.errors import Unsupported
from common.guest_spec import DiskSpec, GuestSpec
from rackd.drivers.lxd.connection.client import Client, path
from rackd.drivers.lxd.guests import volumes
from rackd.drivers.lxd.guests.instance_config import changed
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.ownership import ERASING_KEY, config_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

Devices = Mapping[str, Mapping[str, str]]


def check_overwritable(client: Client, disks: Iterable[DiskSpec]) -> None:
    """Raises Unsupported for a storage pool whose new volumes have the content of deleted ones: LXD overwrites no
    volume.
    """
    for pool in sorted({disk.pool_id for disk in disks}):
        found = client.get(path("storage-pools", pool))
        if found.get("driver") == "lvm" and (found.get("config") or {}).get("lvm.use_thinpool") == "false":
            raise Unsupported(
                f"LXD cannot overwrite disks in the storage pool {pool}, which is LVM without a thin pool. Release the "
                "machine without secure_erase, and overwrite the free space of the volume group by hand."
            )


def erase_volumes(client: Client, instances: Instances, spec: GuestSpec, name: str) -> None:
    """Creates the custom volumes of `spec` that the instance has again, without content. Idempotent."""
    disks = {disk.volume: disk for disk in spec.disks[1:]}
    instance, etag = client.get_with_etag(path("instances", name), project=instances.scope.project)
    config = config_of(instance)
    pending: dict[str, Mapping[str, str]] = json.loads(config.get(ERASING_KEY) or "{}")
    attached = {
        device: entry
        for device, entry in (instance.get("devices") or {}).items()
        if entry.get("type") == "disk" and entry.get("source") in disks
    }
    erased = {**pending, **attached}
    if not erased:
        return
    left = {device: entry for device, entry in instance["devices"].items() if device not in erased}
    body = changed(instance, config={**config, ERASING_KEY: json.dumps(erased)}, devices=left)
    client.put(path("instances", name), body, etag=etag, project=instances.scope.project)
    wanted = [disks[entry["source"]] for entry in erased.values() if entry["source"] in disks]
    volumes.create(client, wanted, instances.scope, created=[])  # deletes those that exist and are not attached
    change = {"devices": erased, "config": {ERASING_KEY: ""}}
    client.patch(path("instances", name), change, project=instances.scope.project)
    log.info("volumes_emptied", guest=name, volumes=len(erased))
