"""Attaches NICs to an instance and detaches them, also while it runs.

LXD plugs a NIC into a running VM only where the VM would have it after a restart, which the order of the names of its
devices decides. It disconnects a NIC and asks the VM's system for it, but does not wait: a system that keeps the NIC
has it without a connection until the VM is off.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog

from common.errors import DriverFailed, WrongState
from common.guests.guest_spec import NicSpec
from common.values import GuestRef, PowerState
from rackd.drivers.changed_nics import changed_nic, check_replaceable
from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.connection.failures import PreconditionFailed, Unfinished, is_invalid
from rackd.drivers.lxd.guests import instance_config, nic_devices, preflight
from rackd.drivers.lxd.guests.device_removal import of_profile, remove_devices
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.safeguards import check_no_saved_memory
from rackd.drivers.lxd.inventory.ownership import config_of
from rackd.drivers.lxd.inventory.power_states import power_of

# In the texts with which LXD and Incus refuse a NIC of an instance that is off, too.
_CLASHES = ("already defined on another nic", "already used on network")
_NO_FREE_SLOT = "not available for virtio-net-pci"
BUSES_S, _RETRY_S = 60.0, 1.0  # a second or two with KVM, twenty where VMs are emulated

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def attach(instances: Instances, guest: GuestRef, nic: NicSpec) -> PowerState:
    """Returns the power state. Raises as the driver contract says."""
    found = instances.of_machine(guest)
    name, power = str(found["name"]), power_of(int(found["status_code"]))
    if nic_devices.device_with(found, nic.mac_address) is not None:
        return power
    check_no_saved_memory(instances, found, what="its NICs")
    client, scope = instances.client, instances.scope_of(found)
    networks = preflight.networks_of(client, [nic], scope)
    nic_devices.check_sources_exist([nic], networks, client.place)
    nic_devices.check_addable(nic, found["expanded_devices"], networks, name, client.place)
    preflight.leases_of(client, [nic], networks, scope)
    _plug(instances, name, nic, nic_devices.device_of(nic, networks, boots=False), power)
    log.info("nic_attached", guest=name, mac_address=nic.mac_address, kind=nic.kind, source=nic.source)
    return power


def _plug(instances: Instances, name: str, nic: NicSpec, device: Mapping[str, str], power: PowerState) -> None:
    try:
        _add_device(instances, name, nic.name, device)
    except (PreconditionFailed, Unfinished):
        raise
    except DriverFailed as error:
        text = str(error).lower()
        if _has(instances, name, nic.mac_address):
            log.info("guest_agent_not_notified", guest=name, reason=str(error))
        elif any(clash in text for clash in _CLASHES):
            raise WrongState(f"{name} could not start with the NIC {nic.mac_address}: {error}", name=name) from error
        elif power is PowerState.OFF or is_invalid(error):
            raise
        else:
            raise WrongState(
                f"The NIC {nic.mac_address} cannot be attached while {name} runs: {error} It can be attached while "
                f"{name} is off.",
                name=name,
            ) from error


def _add_device(instances: Instances, name: str, key: str, device: Mapping[str, str]) -> None:
    """Adds the device, once the firmware of an instance that has just been started knows its PCI buses: until then,
    Incus takes one that is in use for a free one. LXD does not.
    """
    waits = instances.capabilities.dialect.waits_for_buses
    ends_at = time.monotonic() + (BUSES_S if waits else 0.0)
    while True:
        try:
            return instances.change(name, devices={key: device}, config={})
        except DriverFailed as error:
            if _NO_FREE_SLOT not in str(error).lower() or time.monotonic() >= ends_at:
                raise
            log.info("pci_buses_unknown", guest=name, reason=str(error))
        time.sleep(_RETRY_S)


def change(instances: Instances, guest: GuestRef, mac_address: str, nic: NicSpec) -> PowerState:
    """Returns the power state. Raises as the driver contract says, and WrongState for a NIC of a profile.

    A NIC of a running instance stays where it is: LXD takes the device away first, and if the VM's system keeps it,
    fails and leaves the VM without a connection.
    """
    found = instances.of_machine(guest)
    name, power = str(found["name"]), power_of(int(found["status_code"]))
    check_no_saved_memory(instances, found, what="its NICs")
    current = instances.plain_guest(found)
    replaced = changed_nic(current, mac_address, nic)
    check_replaceable(current, replaced, nic)
    client, scope = instances.client, instances.scope_of(found)
    networks = preflight.networks_of(client, [nic], scope)
    nic_devices.check_sources_exist([nic], networks, client.place)
    device = str(nic_devices.device_with(found, replaced.mac_address))
    others = {key: one for key, one in found["expanded_devices"].items() if key != device}
    nic_devices.check_startable_beside(nic, others, networks, client.place)
    preflight.leases_of(client, [nic], networks, scope, replaced=replaced.mac_address)
    wanted = nic_devices.device_of(nic, networks, boots=False)
    if _replace(instances, name, device, replaced.mac_address, wanted, runs=power is not PowerState.OFF):
        log.info("nic_changed", guest=name, device=device, mac_address=nic.mac_address, source=nic.source)
    return power


def _replace(
    instances: Instances, name: str, device: str, mac_address: str, wanted: Mapping[str, str], *, runs: bool
) -> bool:
    """Returns whether anything changed."""
    client, project = instances.client, instances.scope.project
    current, etag = client.get_with_etag(path("instances", name), project=project)
    devices: Mapping[str, Mapping[str, str]] = current.get("devices") or {}
    before = devices.get(device)
    if before is None:
        raise of_profile(client, name, _named(mac_address), device)
    after = nic_devices.replaced_device(before, wanted)
    if runs and nic_devices.connection_of(after) != nic_devices.connection_of(before):
        raise WrongState(
            f"{instances.product} cannot connect the NIC {mac_address} elsewhere while {name} runs. "
            f"Shut {name} down first.",
            name=name,
        )
    if after == before:
        return False
    body = instance_config.changed(current, config=config_of(current), devices={**devices, device: after})
    try:
        client.put(path("instances", name), body, etag=etag, project=project)
    except (PreconditionFailed, Unfinished):
        raise
    except DriverFailed as error:
        if (instances.read(name).get("devices") or {}).get(device) == after:
            log.info("guest_agent_not_notified", guest=name, reason=str(error))
        elif any(clash in str(error).lower() for clash in _CLASHES):
            raise WrongState(f"{name} could not start with the NIC {mac_address}: {error}", name=name) from error
        else:
            raise
    return True


def detach(instances: Instances, guest: GuestRef, mac_address: str) -> PowerState:
    """Returns the power state. Raises as the driver contract says, and WrongState for a NIC of a profile."""
    found = instances.of_machine(guest)
    name, power = str(found["name"]), power_of(int(found["status_code"]))
    device = nic_devices.device_with(found, mac_address)
    if device is None:
        return power
    check_no_saved_memory(instances, found, what="its NICs")
    kept = remove_devices(
        instances, name, {device}, what=_named(mac_address),
        has=lambda one: nic_devices.device_with(one, mac_address) is not None, runs=power is not PowerState.OFF,
    )  # fmt: skip
    if kept is not None:
        raise WrongState(
            f"{name} does not give {_named(mac_address)} back while it runs: {kept} It can be detached while {name} is "
            "off.",
            name=name,
        ) from kept
    log.info("nic_detached", guest=name, device=device, mac_address=mac_address)
    return power


def _named(mac_address: str) -> str:
    return f"the NIC {mac_address}"


def _has(instances: Instances, name: str, mac_address: str) -> bool:
    return nic_devices.device_with(instances.read(name), mac_address) is not None
