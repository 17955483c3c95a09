"""The state of instances: started, stopped, frozen. No guest runs an operating system, so none shuts down by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from rackd.drivers.lxd.inventory.config_values import is_true
from tests.lxd_http import nic_slots, operations
from tests.lxd_http.devices import root_bytes, root_of
from tests.lxd_http.messages import Answer, NotModelled, Refused, Request, sync
from tests.lxd_http.server import CORES, INTERFACES
from tests.lxd_http.state import APPLY_QUOTA, FROZEN, NETWORK, RUNNING, STATUS, STOPPED, Instance, Lxd, now

Body = Mapping[str, Any]

_STOPPED_MONITOR = "dial unix /var/lib/lxd/logs/qemu.monitor: connect: no such file or directory"


def read(lxd: Lxd, request: Request, name: str) -> Answer:
    return sync(state_of(lxd, lxd.instance(name, request.project)))


def state_of(lxd: Lxd, one: Instance) -> dict[str, Any]:
    """A running instance has the addresses that are set on its NICs: no DHCP server runs here."""
    off = one.status_code == STOPPED
    return {
        "status": STATUS[one.status_code], "status_code": one.status_code, "disk": None,
        "memory": {"usage": 0, "usage_peak": 0, "swap_usage": 0, "swap_usage_peak": 0}, "cpu": {"usage": 0},
        "network": None if off else {name: _interface(one, name, device) for name, device in _nics(lxd, one)},
        "pid": 0 if off else -1, "processes": 0 if off else -1,
    }  # fmt: skip


def _nics(lxd: Lxd, one: Instance) -> Iterator[tuple[str, dict[str, str]]]:
    return ((name, device) for name, device in lxd.expanded_devices(one).items() if device["type"] == "nic")


def _interface(one: Instance, name: str, device: dict[str, str]) -> dict[str, Any]:
    address = device.get("ipv4.address")
    own = {"family": "inet", "address": address, "netmask": "24", "scope": "global"}
    return {
        "addresses": [own] if address else [],
        "hwaddr": device.get("hwaddr") or one.config.get(f"volatile.{name}.hwaddr", ""),
        "host_name": f"tap{name}", "mtu": 1500, "state": "up", "type": "broadcast",
    }  # fmt: skip


def change(lxd: Lxd, request: Request, name: str) -> Answer:
    one, body = lxd.instance(name, request.project), request.body()
    action = body.get("action")
    if action == "restart" or (body.get("stateful") and action not in {"start", "stop"}):
        raise NotModelled(f"the action {body}")
    if action not in _ACTIONS:
        raise Refused(400, f"Unknown action: '{action}'")
    if action == "start":
        lxd.check_leader(request.project)
    if lxd.refusals:
        raise Refused(500, lxd.refusals.pop())
    description, work = _ACTIONS[action]
    return operations.run(lxd, description, lambda: work(lxd, one, body), {"instances": [f"/1.0/instances/{name}"]})


def _start(lxd: Lxd, one: Instance, body: Body) -> None:
    """Deletes the saved memory of an instance that is started without it, as real servers do."""
    if one.status_code != STOPPED:
        raise Refused(400, "The instance is already running")
    if is_true(lxd.expanded_config(one).get("security.protection.start")):
        raise Refused(400, "Instance has startup protection enabled")
    if body.get("stateful") and not one.stateful:
        raise Refused(400, "Instance has no existing state to restore")
    one.restored, one.stateful = bool(body.get("stateful")), False
    _check_startable(lxd, one)
    one.config.pop("volatile.apply_template", None)
    if one.config.pop(APPLY_QUOTA, None):
        one.root.size_bytes = root_bytes(root_of(lxd.expanded_devices(one)) or {})
    one.last_used_at = now()
    nic_slots.occupy(lxd, one)
    _enter(lxd, one, RUNNING, "started")


def _check_startable(lxd: Lxd, one: Instance) -> None:
    cores = lxd.expanded_config(one).get("limits.cpu", "1")
    if cores.isdecimal() and int(cores) > CORES:
        raise Refused(500, "Failed to add CPUs: Cannot allocate more CPUs than available")
    check_nics(lxd, one, [name for name, _ in _nics(lxd, one)], "start")
    for name, device in _nics(lxd, one):
        parent = device.get("parent")
        if parent and parent not in INTERFACES:
            raise Refused(500, f'Failed to start device "{name}": Parent device "{parent}" doesn\'t exist')


def check_nics(lxd: Lxd, one: Instance, names: Collection[str], stage: str) -> None:
    """Refuses NICs that clash with those of other instances, or with another one on the network with DNS."""
    others = [device for other in lxd.instances.values() if other.url != one.url for _, device in _nics(lxd, other)]
    taken = {device.get("ipv4.address", "") for device in others} - {""}
    macs = {device["hwaddr"].lower() for device in others if device.get("network") == NETWORK and "hwaddr" in device}
    kept = {device.get("network", "") for name, device in _nics(lxd, one) if name not in names}
    on_network = kept & {NETWORK}
    for name, device in sorted(_nics(lxd, one)):
        if name not in names:
            continue
        failed = f'Failed {stage} validation for device "{name}": '
        if device.get("ipv4.address") in taken:
            raise Refused(500, f'{failed}IP address "{device["ipv4.address"]}" already defined on another NIC')
        if device.get("network") == NETWORK and device.get("hwaddr", "").lower() in macs:
            raise Refused(500, f'{failed}MAC address "{device["hwaddr"]}" already defined on another NIC')
        if device.get("network") in on_network:
            raise Refused(500, f'{failed}Instance DNS name "{one.name}" already used on network')
        on_network |= {device["network"]} if device.get("network") == NETWORK else set()


def _stop(lxd: Lxd, one: Instance, body: Body) -> None:
    if one.status_code == STOPPED:
        raise Refused(400, "The instance is already stopped")
    if body.get("stateful"):
        if not is_true(lxd.expanded_config(one).get("migration.stateful")):
            raise Refused(500, "Stateful stop requires migration.stateful to be set to true")
        one.stateful = True
    elif not body.get("force"):  # after the timeout, which the double does not wait for
        status = STATUS[one.status_code]
        reason = "Instance was not shutdown after timeout"
        raise Refused(400, f'Failed shutting down instance, status is "{status}": {reason}')
    _enter(lxd, one, STOPPED, "stopped")
    if one.ephemeral:
        forget(lxd, one)


def forget(lxd: Lxd, one: Instance) -> None:
    """Deletes the instance, and the volumes that depend on it."""
    dependent = [
        (one.project, device["pool"], device["source"])
        for device in lxd.expanded_devices(one).values()
        if is_true(device.get("dependent"))
    ]
    del lxd.instances[one.project, one.name]
    for key in dependent:
        lxd.volumes.pop(key, None)
    lxd.forget_backups(one.project, "instances", one.name)
    lxd.report("deleted", one)


def _freeze(lxd: Lxd, one: Instance, body: Body) -> None:
    _check_runs(one)
    _enter(lxd, one, FROZEN, "paused")


def _unfreeze(lxd: Lxd, one: Instance, body: Body) -> None:
    _check_runs(one)
    _enter(lxd, one, RUNNING, "resumed")


def _check_runs(one: Instance) -> None:
    if one.status_code == STOPPED:
        raise Refused(500, _STOPPED_MONITOR)


def _enter(lxd: Lxd, one: Instance, status_code: int, event: str) -> None:
    one.status_code = status_code
    one.config["volatile.last_state.power"] = "STOPPED" if status_code == STOPPED else "RUNNING"
    lxd.report(event, one)


_ACTIONS: dict[str, tuple[str, Callable[[Lxd, Instance, Body], None]]] = {
    "start": ("Starting instance", _start),
    "stop": ("Stopping instance", _stop),
    "freeze": ("Freezing instance", _freeze),
    "unfreeze": ("Unfreezing instance", _unfreeze),
}
