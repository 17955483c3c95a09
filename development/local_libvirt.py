"""Prepares this machine's libvirt as a host: daemon, storage pool and, if possible, network.

Existing pools and networks are used unchanged. Settings of an administrator are never overwritten.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from attrs import frozen

from development import kvm_device
from development.paths import CannotRun, RunPaths
from development.supervisor import Program, Supervisor

POOL = "innkeeper"
NETWORK = "default"
_DAEMONS = ("virtlogd", "libvirtd")
_DEVICES = Path("/sys/class/net")
_QEMU_SETTINGS = Path("/etc/libvirt/qemu.conf")
_WITHOUT_NAMESPACES = """
# Added by Innkeeper's ./dev run: this machine allows no mount namespaces.
namespaces = []
"""


@frozen(kw_only=True)
class LocalLibvirt:
    """`network_problem`: why VMs get QEMU user-mode networking instead of libvirt's network; None if they do not."""

    address: str
    version: str
    pools: tuple[str, ...]
    network_problem: str | None = None


def address_for(user_id: int) -> str:
    """Returns the system libvirt for root, and the session libvirt, which needs no permission, for other users."""
    return "qemu:///system" if user_id == 0 else "qemu:///session"


async def ensure(
    paths: RunPaths, supervisor: Supervisor, started: AsyncExitStack, report: Callable[[str], None]
) -> LocalLibvirt:
    """Returns the running libvirt with at least one active storage pool. Idempotent.

    Without a service manager, starts the daemons under `supervisor`; `started` receives callbacks that undo the rest.
    Raises CannotRun with libvirt's message.
    """
    address = address_for(os.geteuid())
    await _ensure_daemon(address, paths, supervisor, report)
    version = await _virsh(address, "version", "--daemon")
    return LocalLibvirt(
        address=address,
        version=version.strip().rpartition(" ")[2],
        pools=await _ensure_pool(address, report),
        network_problem=await _ensure_network(address, started),
    )


async def domain_type(address: str, name: str) -> str:
    """Returns the type of the domain `name`: `kvm`, or `qemu` for emulation. Raises CannotRun if it does not exist."""
    return ET.fromstring(await _virsh(address, "dumpxml", name)).get("type", "")  # noqa: S314 - from our own libvirtd


async def _ensure_daemon(address: str, paths: RunPaths, supervisor: Supervisor, report: Callable[[str], None]) -> None:
    if await answers(address):
        return
    if address != "qemu:///system":
        await _virsh(address, "version")  # starts the session daemon, or raises with the reason
        return
    if systemd_runs():
        report("Starting libvirtd with systemd.")
        await _done("systemctl", "start", "libvirtd.service")
        await _virsh(address, "version")
        return
    report("Starting libvirtd directly: no service manager is running.")
    if not await _mount_namespaces_work() and add_setting(_QEMU_SETTINGS):
        report(f"This machine allows no mount namespaces; disabled them for libvirt in {_QEMU_SETTINGS}.")
    if kvm_device.open_to_qemu():
        report(f"Gave {kvm_device.DEVICE} to the group kvm, as udev would.")
    for program in _programs(paths, os.environ):
        supervisor.start(program)
    await supervisor.ready("libvirtd", lambda: answers(address), deadline_s=30)


def systemd_runs() -> bool:
    """Whether systemd is the service manager, as sd_booted(3) checks."""
    return Path("/run/systemd/system").is_dir()


def _programs(paths: RunPaths, environment: Mapping[str, str]) -> list[Program]:
    # QEMU logs to virtlogd: start it first and stop it last.
    return [
        Program(
            name=name,
            argv=(f"/usr/sbin/{name}",),
            log_path=paths.logs / f"{name}.log",
            pid_path=paths.pids / f"{name}.pid",
            environment=environment,
        )
        for name in _DAEMONS
    ]


async def answers(address: str) -> bool:
    """Whether a libvirt daemon responds at `address`."""
    code, _, _ = await _run("virsh", "--connect", address, "version", "--daemon")
    return code == 0


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


async def _mount_namespaces_work() -> bool:
    # libvirt does the same before it starts QEMU; it fails where / is not a mount point, as in a chroot.
    code, _, _ = await _run("unshare", "--mount", "--propagation", "slave", "true")
    return code == 0


def add_setting(path: Path) -> bool:
    """Disables mount namespaces in the libvirt settings at `path` unless it sets them; returns whether it changed."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if re.search(r"^\s*namespaces\s*=", text, re.MULTILINE):
        return False
    ending = "" if text.endswith("\n") or not text else "\n"
    path.write_text(f"{text}{ending}{_WITHOUT_NAMESPACES}", encoding="utf-8")
    return True


async def _ensure_network(address: str, started: AsyncExitStack) -> str | None:
    """Activates the network; returns None, or the reason why it is not active."""
    if NETWORK in await _names(address, "net-list", "--name"):
        return None
    if NETWORK not in await _names(address, "net-list", "--all", "--name"):
        return f"libvirt has no network '{NETWORK}'"
    bridge, bridge_address = bridge_of(await _virsh(address, "net-dumpxml", NETWORK))
    if is_leftover(bridge, bridge_address, _DEVICES):
        await _run("ip", "link", "delete", bridge, "type", "bridge")
    code, _, stderr = await _run("virsh", "--connect", address, "net-start", NETWORK)
    if code != 0:
        return f"network '{NETWORK}' does not start: {_sentence(stderr)}"
    started.push_async_callback(_stop_network_without_guests, address, bridge)
    return None


async def _stop_network_without_guests(address: str, bridge: str) -> None:
    """Stops the network unless a running VM is attached to it."""
    if not attached(bridge, _DEVICES):
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
    return await _done("virsh", "--connect", address, *command)


async def _done(*argv: str) -> str:
    code, output, stderr = await _run(*argv)
    if code != 0:
        raise CannotRun(f"{' '.join(argv)} failed: {_sentence(stderr)}")
    return output


async def _run(*argv: str, deadline_s: float = 60.0) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline_s):
            output, stderr = await process.communicate()
    except TimeoutError:
        raise CannotRun(f"{' '.join(argv)} timed out after {deadline_s:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace"), stderr.decode(errors="replace")


def _sentence(text: str) -> str:
    return " ".join(text.split()) or "no error message."
