"""Finds the machines whose disks and NICs satisfy constraints, a batch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from regiond.db.pool import Database
from regiond.machines.arrivals.allocation.constraints import NETWORK_FIELDS, device_constraints
from regiond.machines.arrivals.allocation.matching import DeviceConstraints, match_labels
from regiond.machines.arrivals.compose.requirements import collecting
from regiond.machines.core import view_store
from regiond.machines.values.model import Labels, MachineView
from regiond.machines.values.requests import AllocateRequest
from regiond.networks import interface_availability, references
from regiond.placement.network_selectors import referenced_networks
from regiond.placement.requirements import Condition, NicRequirement

READ_BATCH = 50  # machines whose disks and NICs one query reads


async def checked_devices(
    database: Database, request: AllocateRequest, problems: dict[str, list[str]]
) -> DeviceConstraints:
    """Returns the constraints of the request on devices; adds to `problems` by field, also for unknown networks."""
    devices = DeviceConstraints()
    with collecting(problems):
        devices = device_constraints(request)
    async with database.connection() as db:
        for name, nics in _nics_by_field(request, devices).items():
            unknown = await references.unknown_references(db, referenced_networks(nics))
            if unknown:
                problems[name] = list(dict.fromkeys(unknown))
    return devices


async def matching(
    database: Database, ids: Sequence[int], devices: DeviceConstraints, *, owner_data: bool = True
) -> AsyncIterator[tuple[MachineView, Labels]]:
    """Yields those of the machines with these row ids that satisfy `devices`, in their order."""
    for start in range(0, len(ids), READ_BATCH):
        async with database.connection() as db:
            machines = await view_store.read_all(db, ids[start : start + READ_BATCH], owner_data=owner_data)
            host_ids = {one.host_id for one in machines if one.host_id is not None}
            interfaces = await interface_availability.available_interfaces(db, host_ids)
        for machine in machines:
            await asyncio.sleep(0)  # other tasks run between two machines: constraints can be long
            labels = match_labels(machine, devices, interfaces.get(machine.host_id or 0, ()))
            if labels is not None:
                yield machine, labels


def _nics_by_field(request: AllocateRequest, devices: DeviceConstraints) -> Mapping[str, tuple[NicRequirement, ...]]:
    """Returns the networks that each field names, as NIC requirements; empty if `devices` could not be parsed."""
    result: dict[str, tuple[NicRequirement, ...]] = {"interfaces": devices.nics}
    for prefix, conditions in (("", devices.attached), ("not_", devices.detached)):
        for name, key in NETWORK_FIELDS:
            own = _with_key(conditions, key)
            result[f"{prefix}{name}"] = (NicRequirement(label=f"{prefix}{name}", conditions=own),)
    return result


def _with_key(conditions: Sequence[Condition], key: str) -> tuple[Condition, ...]:
    return tuple(condition for condition in conditions if condition.key == key)
