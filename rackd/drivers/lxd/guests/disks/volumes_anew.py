"""Makes custom volumes of an instance that is off again, with the same names.

LXD deletes a volume only while no instance has it. The instance's config holds the devices that are detached meanwhile,
so that a retry attaches them again: those whose volume is still a disk of the machine, and not attached meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence

from common.guests.guest_spec import DiskSpec
from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.guests import instance_config
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.ownership import ERASING_KEY, config_of


def make_anew(
    instances: Instances,
    name: str,
    disks: Collection[DiskSpec],
    make: Callable[[Sequence[DiskSpec]], None],
    *,
    only: str = "",
) -> int:
    """Returns how many of `disks`, the further ones of the instance, were made again; with `only` the one volume.

    `make` makes those that it is given, and deletes volumes of these names first. Those that an interrupted call has
    detached are among them. Idempotent.
    """
    client, project = instances.client, instances.scope.project
    by_name = {disk.volume: disk for disk in disks}
    instance, etag = client.get_with_etag(path("instances", name), project=project)
    config = config_of(instance)
    detached: dict[str, Mapping[str, str]] = json.loads(config.get(ERASING_KEY) or "{}")
    own: dict[str, Mapping[str, str]] = {
        device: entry for device, entry in (instance.get("devices") or {}).items() if entry.get("type") == "disk"
    }
    sources = {entry.get("source") for entry in own.values()}
    pending = {
        device: entry
        for device, entry in detached.items()
        if entry["source"] in by_name and entry["source"] not in sources
    }
    attached = {device: entry for device, entry in own.items() if entry.get("source") in ({only} if only else by_name)}
    erased = {**pending, **attached}
    if not (erased or detached):
        return 0
    left = {device: entry for device, entry in instance["devices"].items() if device not in erased}
    body = instance_config.changed(instance, config={**config, ERASING_KEY: json.dumps(erased)}, devices=left)
    client.put(path("instances", name), body, etag=etag, project=project)
    make([by_name[entry["source"]] for entry in erased.values()])
    # LXD removes a description that a PATCH lacks.
    restored = {"devices": erased, "config": {ERASING_KEY: ""}, "description": body.get("description") or ""}
    client.patch(path("instances", name), restored, project=project)
    return len(erased)
