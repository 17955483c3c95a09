"""Reads and writes the ownership marker in an instance's `user.innkeeper.*` config.

`lxc copy` copies the marker too. So it counts only with the instance's own UUID, which LXD retains when an
instance moves or is renamed, and assigns to no other but a backup that is restored beside it (docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from common.values import OwnershipMarker
from rackd.drivers.generation import parsed_generation

Json = Mapping[str, Any]

INSTALLATION_KEY, MACHINE_KEY = "user.innkeeper.installation", "user.innkeeper.machine"
COMPLETED_KEY = "user.innkeeper.made"  # INCOMPLETE-ATTEMPT until compose has completed, then the instance's UUID
GENERATION_KEY = "user.innkeeper.generation"  # how often a use of the machine has begun
ROOT_VOLUME_KEY = "user.innkeeper.root"  # the root disk's name in the ledger
REPLACES_KEY = "user.innkeeper.replaces"  # of a placeholder: the name of the instance that it stands for
ERASING_KEY = "user.innkeeper.erasing"  # the devices, in JSON, whose volumes are being replaced by empty ones
BOOT_DISK_KEY = "user.innkeeper.boot-disk"  # the device to boot first, chosen while the instance ran
BOOT_ORDER_KEY = "user.innkeeper.boot-order"  # the kinds of devices in their order, chosen while the instance ran
BOOT_ONCE_KEY = "user.innkeeper.boot-once"  # of an instance that was started in another order: that of later starts
INCOMPLETE = "half"
NO_UUID = "true"  # replaces the UUID on servers that assign none
UUID_KEY = "volatile.uuid"
MOVE_PREFIXES = ("lxd-move-of-", "incus-move-of-")  # of the names of copies that LXD makes to move an instance

DEFAULT_PROJECT = "default"
VM, CONTAINER = "virtual-machine", "container"
_OFF = "Stopped"  # LXD's word


def config_of(instance: Json) -> Mapping[str, str]:
    found: Mapping[str, str] = instance.get("config") or {}
    return found


def marker_config(marker: OwnershipMarker) -> dict[str, str]:
    return {INSTALLATION_KEY: str(marker.installation_id), MACHINE_KEY: str(marker.machine_id)}


def marker_of(instance: Json) -> OwnershipMarker | None:
    """Returns None for foreign instances: unmarked ones, copies of marked ones, and containers."""
    config = config_of(instance)
    if instance.get("type") != VM:
        return None
    completed = config.get(COMPLETED_KEY, INCOMPLETE)
    if not completed.startswith(INCOMPLETE) and completed not in {NO_UUID, config.get(UUID_KEY)}:
        return None
    try:
        return OwnershipMarker(installation_id=UUID(config[INSTALLATION_KEY]), machine_id=UUID(config[MACHINE_KEY]))
    except (KeyError, ValueError):
        return None


def generation_of(instance: Json) -> int | None:
    """Returns None for foreign instances, too: a copy has the key of its source."""
    return None if marker_of(instance) is None else parsed_generation(config_of(instance).get(GENERATION_KEY))


def incomplete(attempt: str) -> str:
    """Returns the value of COMPLETED_KEY while this attempt composes the instance."""
    return f"{INCOMPLETE}-{attempt}"


def is_incomplete(instance: Json) -> bool:
    return config_of(instance).get(COMPLETED_KEY, "").startswith(INCOMPLETE)


def replacement_name(marker: OwnershipMarker) -> str:
    """Returns the name of the placeholder, which carries a guest's marker while its instance is created again."""
    return f"ik-{marker.machine_id.hex}"


def without_replacements(instances: Iterable[Json]) -> list[Json]:
    """Omits placeholders, and copies to another storage pool, of instances that exist: a guest is counted once."""
    instances = _without_moving(list(instances))
    replaceable = {
        (one.get("project"), replacement_name(marker))
        for one in instances
        if (marker := marker_of(one)) is not None and one["name"] != replacement_name(marker)
    }
    return [one for one in instances if (one.get("project"), one["name"]) not in replaceable]


def _without_moving(instances: list[Json]) -> list[Json]:
    """A copy that LXD makes to move an instance has its UUID."""
    copies = [one for one in instances if str(one["name"]).startswith(MOVE_PREFIXES)]
    if not copies:
        return instances
    others = {id_of(one) for one in instances if one not in copies}
    return [one for one in instances if one not in copies or id_of(one) not in others]


def is_temporary(instance: Json, marker: OwnershipMarker) -> bool:
    """Returns whether the instance is named as the machine's placeholder, or as a copy that LXD makes to move it."""
    name = str(instance["name"])
    return name == replacement_name(marker) or name.startswith(MOVE_PREFIXES)


def one_of_each_id(instances: Iterable[Json]) -> tuple[list[Json], list[tuple[Json, Json]]]:
    """Returns the instances without those that have the id of another one of their project; and these, each with that
    other one. A backup that is restored beside its instance has its id.

    A marked one counts, then one that is not off, then the one with the shorter name: whoever restores `vm` calls it
    `vm-old`, say, and leaves it off. All members of a cluster choose the same one.
    """
    chosen: dict[tuple[str, str], Json] = {}
    others = []
    for one in sorted(instances, key=_rank):
        first = chosen.setdefault((str(one.get("project") or DEFAULT_PROJECT), id_of(one)), one)
        if first is not one:
            others.append((one, first))
    return list(chosen.values()), others


def _rank(instance: Json) -> tuple[bool, bool, int, str]:
    name = str(instance["name"])
    return marker_of(instance) is None, instance.get("status") == _OFF, len(name), name


def is_unreadable(instance: Json) -> bool:
    """Returns whether the server knows only the name, because the instance's cluster member does not respond. LXD then
    leaves out the type, too.
    """
    without_type = not instance.get("type") or instance.get("status") == "Error"
    return without_type and instance.get("config") is None


def id_of(instance: Json) -> str:
    """Returns the instance's UUID; on servers that assign none, `PROJECT/NAME`."""
    project = str(instance.get("project") or DEFAULT_PROJECT)
    return config_of(instance).get(UUID_KEY) or f"{project}/{instance['name']}"
