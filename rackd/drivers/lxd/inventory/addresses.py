"""Reads the IP addresses of running instances, and snapshots where no other listing has them.

LXD knows them from its agent in the guest, else from its DHCP leases and the server's neighbour table. An agent that
hangs delays the whole listing; then only the leases of LXD's own networks are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import unquote

import structlog
from attrs import field, frozen

from common.errors import DriverFailed, HostUnreachable, NotFound
from common.values import PowerState
from rackd.drivers.lxd.connection.capabilities import Capabilities
from rackd.drivers.lxd.connection.client import Client, Json, Scope, path
from rackd.drivers.lxd.connection.failures import NotAuthorized
from rackd.drivers.lxd.inventory.ownership import DEFAULT_PROJECT, VM, marker_of
from rackd.drivers.lxd.inventory.power_states import power_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LISTING_S = 10.0  # for the states of all instances of a project
_WHOLE, _ONLY_NETWORK = "2", "2;fields=state.network"  # of the states in a listing
STATE_S = 3.0  # for that of one instance

AddressesByMac = Mapping[str, tuple[str, ...]]
InstanceKey = tuple[str, str]  # project and name


@frozen(kw_only=True)
class InstanceDetails:
    """Facts that a plain listing of instances lacks."""

    addresses: Mapping[InstanceKey, AddressesByMac] = field(factory=dict)
    snapshots: Mapping[InstanceKey, tuple[str, ...]] = field(factory=dict)


NO_DETAILS = InstanceDetails()


def read_details(
    client: Client, instances: Iterable[Json], scope: Scope, member: str | None, can: Capabilities
) -> InstanceDetails:
    """Returns the addresses of the host's marked VMs that run, and the snapshots of all its marked VMs if the server
    does not list their volumes: one request, none if there are no such VMs.

    If LXD does not answer in time, one more for each of LXD's networks with such VMs. Of the states only the network
    is asked for, where the server can leave out the rest: the use of each disk takes it longest.
    """
    marked = [one for one in instances if _is_marked(one, scope.project) and member in {None, one.get("location")}]
    running = [one for one in marked if power_of(int(one.get("status_code") or 0)) is PowerState.ON]
    if not (marked if can.hides_snapshots else running):
        return NO_DETAILS
    try:
        listed: Sequence[Json] = client.get_within(
            LISTING_S, "instances", recursion=_ONLY_NETWORK if can.selective_state else _WHOLE, project=scope.project
        )
    except (HostUnreachable, DriverFailed) as error:
        log.info("instance_states_not_read", project=scope.project, reason=str(error))
        leases = _leases(client, running, scope)
        return InstanceDetails(addresses={_key(one): leases for one in running})
    names = {_key(one) for one in running}
    return InstanceDetails(
        addresses={_key(one): addresses_in(one.get("state")) for one in listed if _key(one) in names},
        snapshots={_key(one): snapshots_in(one) for one in listed if one.get("snapshots")},
    )


def snapshots_in(instance: Json) -> tuple[str, ...]:
    """Returns the names of the snapshots in a full listing, without that of the instance."""
    return tuple(sorted(str(one["name"]).rpartition("/")[2] for one in instance.get("snapshots") or ()))


def read_snapshots_of(client: Client, instance: Json, scope: Scope) -> tuple[str, ...]:
    """Returns the names of the snapshots of one instance; none if it has gone."""
    urls = client.find(path("instances", str(instance["name"]), "snapshots"), project=scope.project)
    return tuple(sorted(unquote(str(url).partition("?")[0].rpartition("/")[2]) for url in urls or ()))


def read_addresses_of(client: Client, instance: Json, scope: Scope) -> AddressesByMac:
    """Returns those of one instance; nothing if it is off, or they are unknown. One request, two if LXD is slow."""
    if power_of(int(instance.get("status_code") or 0)) is not PowerState.ON:
        return {}
    try:
        where = path("instances", str(instance["name"]), "state")
        return addresses_in(client.get_within(STATE_S, where, project=scope.project))
    except (HostUnreachable, DriverFailed, NotFound) as error:
        log.info("instance_state_not_read", guest=instance["name"], reason=str(error))
        return _leases(client, [instance], scope)


def addresses_in(state: Json | None) -> AddressesByMac:
    """Returns the addresses in an instance's state, by MAC address in lower case. A bridge in the guest can have the
    MAC address of its NIC.
    """
    found: dict[str, tuple[str, ...]] = {}
    for interface in ((state or {}).get("network") or {}).values():
        mac = str(interface.get("hwaddr") or "").lower()
        addresses = tuple(str(one["address"]) for one in interface.get("addresses") or ())
        if mac:
            found[mac] = (*found.get(mac, ()), *addresses)
    return found


def _leases(client: Client, instances: Iterable[Json], scope: Scope) -> AddressesByMac:
    devices = [device for one in instances for device in (one.get("expanded_devices") or {}).values()]
    names = {device["network"] for device in devices if device.get("type") == "nic" and device.get("network")}
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(names):
        try:
            leases = client.get_within(STATE_S, path("networks", name, "leases"), project=scope.project)
        except (HostUnreachable, DriverFailed, NotFound, NotAuthorized) as error:
            log.info("leases_not_read", network=name, reason=str(error))
            continue
        for lease in leases or ():
            mac = str(lease.get("hwaddr") or "").lower()
            if mac and lease.get("type") == "dynamic":
                found[mac] = (*found.get(mac, ()), str(lease["address"]))
    return found


def _is_marked(instance: Json, project: str) -> bool:
    return instance.get("type") == VM and _key(instance)[0] == project and marker_of(instance) is not None


def _key(instance: Json) -> InstanceKey:
    return str(instance.get("project") or DEFAULT_PROJECT), str(instance["name"])
