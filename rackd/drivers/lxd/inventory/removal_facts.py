"""Finds what servers delete with an instance, and which settings forbid to delete or start it. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from common.hosts.discovery import Problem
from common.removal_facts import RemovalFacts
from common.values import PowerState
from rackd.drivers.lxd.connection.capabilities import UNKNOWN, Capabilities
from rackd.drivers.lxd.connection.dialect import Dialect
from rackd.drivers.lxd.inventory.config_values import is_true
from rackd.drivers.lxd.inventory.ownership import DEFAULT_PROJECT, Json, config_of, marker_of
from rackd.drivers.lxd.inventory.power_states import power_of
from rackd.drivers.lxd.inventory.volume_index import Volume

DELETE_PROTECTION, START_PROTECTION = "security.protection.delete", "security.protection.start"
DEPENDENT = "dependent"  # of a disk device: Incus deletes its volume with the instance

SnapshotsByInstance = Mapping[tuple[str, str], tuple[str, ...]]  # by project and name


def removal_facts_of(
    instance: Json, snapshots: Iterable[str], can: Capabilities = UNKNOWN, *, shared_volumes: Iterable[str] = ()
) -> RemovalFacts:
    """A volume that Incus would delete with the instance is not among them: the driver makes it independent before.

    A server that cannot rebuild an instance gets another one for another root disk; neither way keeps snapshots.
    """
    found = tuple(snapshots)
    protection = protection_of(instance, DELETE_PROTECTION, can.dialect)
    return RemovalFacts(
        snapshots=found,
        saved_memory=has_saved_memory(instance),
        shared_volumes=tuple(shared_volumes),
        protection=protection,
        deleted_when_off=is_ephemeral(instance),
        permanence=permanence_command(instance, can.dialect) if is_ephemeral(instance) else "",
        snapshots_end_with_root_disk=bool(found),
        root_disk_protection="" if can.rebuild else protection,
    )


def has_saved_memory(instance: Json) -> bool:
    """Returns whether the next start restores the instance as it ran, after `stop --stateful`."""
    return bool(instance.get("stateful")) and _power(instance) is PowerState.OFF


def is_ephemeral(instance: Json) -> bool:
    """Returns whether the server deletes the instance as soon as it is off, however it came to that."""
    return bool(instance.get("ephemeral"))


def protection_of(instance: Json, key: str, dialect: Dialect) -> str:
    """Returns, as sentences, that this setting of the instance or one of its profiles is on, and what ends that."""
    if not is_true(_expanded(instance).get(key)):
        return ""
    origin = "" if key in config_of(instance) else " by one of its profiles"
    command = f"{dialect.client} config set {_named(instance)} {key}=false --project {_project(instance)}"
    ends = f"To end that, if need be while the VM is off: {command}"
    return f"{dialect.product} protects it by {key}, which is set{origin}. {ends}"


def permanence_command(instance: Json, dialect: Dialect) -> str:
    """Returns the command that makes an ephemeral instance stay when it is off."""
    body = shlex.quote(json.dumps({"ephemeral": False}))
    where = f"/1.0/instances/{quote(str(instance['name']))}?project={quote(_project(instance))}"
    return f"{dialect.client} query -X PATCH -d {body} '{where}'"


def ephemeral_problem(instance: Json, dialect: Dialect) -> Problem | None:
    """Returns a problem for a machine's instance that was made ephemeral after its adoption."""
    if marker_of(instance) is None or not is_ephemeral(instance):
        return None
    return Problem(
        subject=str(instance["name"]),
        message=f"The VM is ephemeral: {dialect.product} deletes it, with its root disk, as soon as it is off, also "
        f"when its system shuts down. To keep it: {permanence_command(instance, dialect)}",
    )


def dependent_devices(instance: Json) -> dict[str, Mapping[str, str]]:
    """Returns the disks whose volumes go with the instance, as devices of its own with which they stay."""
    devices: Mapping[str, Mapping[str, str]] = instance.get("expanded_devices") or {}
    return {
        name: {key: text for key, text in device.items() if key != DEPENDENT}
        for name, device in devices.items()
        if device.get("type") == "disk" and is_true(device.get(DEPENDENT))
    }


def snapshots_in_volumes(volumes: Iterable[Volume]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Returns the snapshots of instances, as servers list them that list the volume of each."""
    found: dict[tuple[str, str], list[str]] = {}
    for volume in volumes:
        instance, slash, snapshot = volume.name.partition("/")
        if slash and volume.type == "virtual-machine":
            found.setdefault((volume.project, instance), []).append(snapshot)
    return {key: tuple(sorted(names)) for key, names in found.items()}


def _expanded(instance: Json) -> Mapping[str, str]:
    found: Mapping[str, str] | None = instance.get("expanded_config")
    return config_of(instance) if found is None else found


def _power(instance: Json) -> PowerState:
    return power_of(int(instance.get("status_code") or 0))


def _project(instance: Json) -> str:
    return str(instance.get("project") or DEFAULT_PROJECT)


def _named(instance: Json) -> str:
    return shlex.quote(str(instance["name"]))
