"""Puts ISO images into the drive of an instance, and takes them out, also while it runs.

The drive is a disk device with a volume of an ISO image. It comes with the image and goes with it: the server plugs
both into a running VM.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from common.boot import IsoState
from common.errors import DriverFailed, ImageMissing, WrongState
from common.values import GuestRef
from rackd.drivers.lxd.connection.client import Json, path
from rackd.drivers.lxd.connection.failures import PreconditionFailed, Unfinished, is_invalid
from rackd.drivers.lxd.guests.device_removal import remove_devices
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.iso import iso_images
from rackd.drivers.lxd.guests.safeguards import check_no_saved_memory
from rackd.drivers.lxd.inventory.iso_volumes import drives_of, free_device, iso_of
from rackd.drivers.lxd.inventory.power_states import STOPPED

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def insert(instances: Instances, guest: GuestRef, sha256: str, pool_id: str, *, check_only: bool) -> IsoState:
    """Returns what is in the drive. Raises as the driver contract says."""
    found, client = instances.of_machine(guest), instances.client
    iso_images.check_supported(instances)
    check_no_saved_memory(instances, found, what="its ISO image")
    if check_only:
        client.get(path("storage-pools", pool_id))
        return _state(found)
    volume = iso_images.find(client, sha256, pool_id, instances.scope_of(found))
    if volume is None:
        raise ImageMissing(f"The storage pool {pool_id} of {client.place} lacks the image {sha256[:12]}.")
    name, devices = str(found["name"]), found["expanded_devices"]
    drives = drives_of(devices)
    device = drives[0] if drives else free_device(devices)
    wanted = {**devices.get(device, {}), "type": "disk", "pool": pool_id, "source": volume}
    if wanted != devices.get(device):
        _plug(instances, found, device, wanted)
        log.info("iso_inserted", guest=name, sha256=sha256, device=device)
    return _state(instances.read(name))


def eject(instances: Instances, guest: GuestRef) -> IsoState:
    """Returns what is in the drive, which goes with the image. Raises WrongState if the running instance keeps it."""
    found = instances.of_machine(guest)
    name = str(found["name"])
    if drives := drives_of(found["expanded_devices"]):
        check_no_saved_memory(instances, found, what="its ISO image")
        kept = remove_devices(
            instances, name, drives,
            what="the ISO image", has=lambda one: bool(drives_of(one["expanded_devices"])), runs=_runs(found),
        )  # fmt: skip
        if kept is not None:
            raise WrongState(
                f"{name} has the ISO image until it is off: its host cannot take it out now: {kept}", name=name
            ) from kept
        log.info("iso_ejected", guest=name)
        found = instances.read(name)
    return _state(found)


def _plug(instances: Instances, found: Json, device: str, entry: Mapping[str, str]) -> None:
    name = str(found["name"])
    try:
        instances.change(name, devices={device: entry}, config={})
    except (PreconditionFailed, Unfinished):
        raise
    except DriverFailed as error:
        if instances.read(name)["expanded_devices"].get(device, {}).get("source") == entry["source"]:
            log.info("guest_agent_not_notified", guest=name, reason=str(error))
            return
        if not _runs(found) or is_invalid(error):
            raise
        raise WrongState(
            f"The ISO image cannot be inserted while {name} runs: {error} It can be while {name} is off.", name=name
        ) from error


def _runs(found: Json) -> bool:
    return int(found["status_code"]) != STOPPED


def _state(found: Json) -> IsoState:
    iso = iso_of(found["expanded_devices"])
    return IsoState(now=iso, after=iso, runs=_runs(found))
