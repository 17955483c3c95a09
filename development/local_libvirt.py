"""Prepares this machine's libvirt as a host: daemon, storage pool and, if possible, network.

Existing pools and networks are used unchanged. Settings of an administrator are never overwritten.
"""

from __future__ import annotations

import os
import socket
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from attrs import frozen

from development.commands import done, run, sentence
from development.local_libvirtd import SYSTEM, LocalLibvirtd
from development.paths import RunPaths

POOL = "innkeeper"
NETWORK = "default"
_DEVICES = Path("/sys/class/net")


@frozen(kw_only=True)
class LocalLibvirt:
    """`network_problem`: why VMs get QEMU user-mode networking instead of libvirt's network; None if they do not.

    `guest_side_address`: this machine's address on libvirt's network, which VMs reach; None without that network.
    """

    address: str
    version: str
    pools: tuple[str, ...]
    network_problem: str | None = None
    guest_side_address: str | None = None


def address_for(user_id: int) -> str:
    """Returns the system libvirt for root, and the session libvirt, which needs no permission, for other users."""
    return SYSTEM if user_id == 0 else "qemu:///session"


async def ensure(paths: RunPaths, started: AsyncExitStack, report: Callable[[str], None]) -> LocalLibvirt:
    """Returns the running libvirt with at least one active storage pool. Idempotent.

    Without a service manager, starts the daemons; `started` receives callbacks that undo what was started. Raises
    CannotRun with libvirt's message.
    """
    address = address_for(os.geteuid())
    libvirtd = LocalLibvirtd(paths, report)
    await libvirtd.ensure(address, started)
    version = await _virsh(address, "version", "--daemon")
    pools, problem = await _ensure_pool(address, report), await _ensure_network(address, libvirtd, started)
    guest_side_address = None
    if problem is None:
        guest_side_address = bridge_of(await _virsh(address, "net-dumpxml", NETWORK))[1] or None
    return LocalLibvirt(
        address=address,
        version=version.strip().rpartition(" ")[2],
        pools=pools,
        network_problem=problem,
        guest_side_address=guest_side_address,
    )


async def domain_type(address: str, name: str) -> str | None:
    """Returns the type of the domain `name`: `kvm`, or `qemu` for emulation; None if it does not exist."""
    code, output, _ = await run("virsh", "--connect", address, "dumpxml", name)
    return ET.fromstring(output).get("type") if code == 0 else None  # noqa: S314 - from our own libvirtd


async def marked(address: str, names: Iterable[str]) -> tuple[str, ...]:
    """Returns those of the domains `names` that have an ownership marker, of whatever Innkeeper."""
    found = []
    for name in names:
        code, output, _ = await run("virsh", "--connect", address, "dumpxml", name)
        if code == 0 and ET.fromstring(output).find("metadata/{*}marker") is not None:  # noqa: S314 - from our libvirtd
            found.append(name)
    return tuple(found)


async def _ensure_pool(address: str, report: Callable[[str], None]) -> tuple[str, ...]:
    active = await _names(address, "pool-list", "--name")
    if active:
        return active
    there = await _names(address, "pool-list", "--all", "--name")
    name = there[0] if there else POOL
    if not there:
        folder = pool_folder(os.geteuid(), os.environ)
        report(f"Creating the storage pool {name} in {folder}.")
        await _virsh(address, "pool-define-as", name, "dir", "--target", str(folder))
        await _virsh(address, "pool-build", name)
        await _virsh(address, "pool-autostart", name)
    await _virsh(address, "pool-start", name)
    return (name,)


def pool_folder(user_id: int, environment: Mapping[str, str]) -> Path:
    """Returns libvirt's default folder for disks, which QEMU's user may read."""
    if user_id == 0:
        return Path("/var/lib/libvirt/images")
    data = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME") or Path.home()) / ".local/share")
    return Path(data) / "libvirt/images"


async def _ensure_network(address: str, libvirtd: LocalLibvirtd, started: AsyncExitStack) -> str | None:
    """Activates the network; returns None, or the reason why it is not active.

    A network that is active in a libvirtd of ours was activated by the run that started it, so this run stops it.
    """
    if NETWORK not in await _names(address, "net-list", "--all", "--name"):
        return f"libvirt has no network '{NETWORK}'"
    bridge, bridge_address = bridge_of(await _virsh(address, "net-dumpxml", NETWORK))
    if NETWORK in await _names(address, "net-list", "--name"):
        if libvirtd.is_ours:
            started.push_async_callback(_stop_unused_network, address, bridge, libvirtd)
        return None
    if is_leftover(bridge, bridge_address, _DEVICES):
        await run("ip", "link", "delete", bridge, "type", "bridge")
    code, _, stderr = await run("virsh", "--connect", address, "net-start", NETWORK)
    if code != 0:
        return f"network '{NETWORK}' does not start: {sentence(stderr)}"
    started.push_async_callback(_stop_unused_network, address, bridge, libvirtd)
    return None


async def _stop_unused_network(address: str, bridge: str, libvirtd: LocalLibvirtd) -> None:
    """Stops the network unless a running VM is attached to it or others use our libvirtd."""
    if not attached(bridge, _DEVICES) and not libvirtd.other_clients():
        await _virsh(address, "net-destroy", NETWORK)


def is_leftover(bridge: str, address: str, devices: Path) -> bool:
    """Whether a bridge of an inactive network exists with no port and no DNS server: libvirt cannot start that network.

    A libvirt whose container was destroyed leaves one behind.
    """
    if not (devices / bridge / "bridge").is_dir() or attached(bridge, devices):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 53))  # a running libvirt network has its DNS server here
        except OSError:
            return False
    return True


def bridge_of(network_xml: str) -> tuple[str, str]:
    """Returns the bridge and the host's address on it from libvirt's network XML; empty strings if absent."""
    network = ET.fromstring(network_xml)  # noqa: S314 - from our own libvirtd
    bridge, address = network.find("bridge"), network.find("ip")
    return (
        bridge.get("name", "") if bridge is not None else "",
        address.get("address", "") if address is not None else "",
    )


def attached(bridge: str, devices: Path) -> tuple[str, ...]:
    """Returns the names of the network devices on the bridge."""
    ports = devices / bridge / "brif"
    return tuple(sorted(port.name for port in ports.iterdir())) if ports.is_dir() else ()


async def _names(address: str, *command: str) -> tuple[str, ...]:
    return tuple((await _virsh(address, *command)).split())


async def _virsh(address: str, *command: str) -> str:
    return await done("virsh", "--connect", address, *command)
