"""This machine's own libvirt, made ready to be a host: a daemon, a storage pool, a network if there can be.

What is there already is used as it is. Nothing is configured that an administrator may have configured otherwise.
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
from development.places import CannotRun, Places
from development.supervisor import Program, Supervisor

POOL = "innkeeper"
NETWORK = "default"
_DAEMONS = ("virtlogd", "libvirtd")
_DEVICES = Path("/sys/class/net")
_QEMU_SETTINGS = Path("/etc/libvirt/qemu.conf")
_WITHOUT_NAMESPACES = """
# Added by Innkeeper's ./dev run: no mount namespaces can be made on this machine.
namespaces = []
"""


@frozen(kw_only=True)
class LocalLibvirt:
    """`network_problem` says why VMs get QEMU's user-mode network instead of libvirt's own; None when they do not."""

    address: str
    version: str
    pools: tuple[str, ...]
    network_problem: str | None = None


def address_for(user_id: int) -> str:
    """Root has the machine's libvirt; anybody else has one of their own, and needs no permission for it."""
    return "qemu:///system" if user_id == 0 else "qemu:///session"


async def ensure(
    places: Places, supervisor: Supervisor, started: AsyncExitStack, tell: Callable[[str], None]
) -> LocalLibvirt:
    """The machine's libvirt, answering, with at least one active storage pool. Calling again is harmless.

    Starts the daemons under `supervisor` where no service manager runs; `started` learns how to undo the rest. Raises
    CannotRun, with what libvirt said.
    """
    address = address_for(os.geteuid())
    await _ensure_daemon(address, places, supervisor, tell)
    version = await _virsh(address, "version", "--daemon")
    return LocalLibvirt(
        address=address,
        version=version.strip().rpartition(" ")[2],
        pools=await _ensure_pool(address, tell),
        network_problem=await _ensure_network(address, started),
    )


async def domain_type(address: str, name: str) -> str:
    """What runs the domain `name`: `kvm`, or `qemu` for emulation. Raises CannotRun when there is none."""
    return ET.fromstring(await _virsh(address, "dumpxml", name)).get("type", "")  # noqa: S314 - from our own libvirtd


async def _ensure_daemon(address: str, places: Places, supervisor: Supervisor, tell: Callable[[str], None]) -> None:
    if await answers(address):
        return
    if address != "qemu:///system":
        await _virsh(address, "version")  # starts the session's own daemon, or says why it cannot
        return
    if systemd_runs():
        tell("Starting libvirtd by the service manager.")
        await _done("systemctl", "start", "libvirtd.service")
        await _virsh(address, "version")
        return
    tell("Starting libvirtd: no service manager runs here.")
    if not await _mount_namespaces_work() and add_setting(_QEMU_SETTINGS):
        tell(f"No mount namespaces can be made here, so libvirt is told to do without: {_QEMU_SETTINGS}.")
    if kvm_device.open_to_qemu():
        tell(f"{kvm_device.DEVICE} is given to the group kvm, as udev does where it runs.")
    for program in _programs(places, os.environ):
        supervisor.start(program)
    await supervisor.ready("libvirtd", lambda: answers(address), deadline_s=30)


def systemd_runs() -> bool:
    """Whether systemd is the service manager: exactly then this folder exists."""
    return Path("/run/systemd/system").is_dir()


def _programs(places: Places, environment: Mapping[str, str]) -> list[Program]:
    # QEMU hands its log to virtlogd, so that one comes first and goes last.
    return [
        Program(
            name=name,
            argv=(f"/usr/sbin/{name}",),
            log_path=places.logs / f"{name}.log",
            pid_path=places.pids / f"{name}.pid",
            environment=environment,
        )
        for name in _DAEMONS
    ]


async def answers(address: str) -> bool:
    """Whether a libvirt daemon answers at `address` now."""
    code, _, _ = await _run("virsh", "--connect", address, "version", "--daemon")
    return code == 0


async def _ensure_pool(address: str, tell: Callable[[str], None]) -> tuple[str, ...]:
    active = await _names(address, "pool-list", "--name")
    if active:
        return active
    there = await _names(address, "pool-list", "--all", "--name")
    name = there[0] if there else POOL
    if not there:
        folder = pool_folder(os.geteuid(), os.environ)
        tell(f"Making the storage pool {name} in {folder}.")
        await _virsh(address, "pool-define-as", name, "dir", "--target", str(folder))
        await _virsh(address, "pool-build", name)
        await _virsh(address, "pool-autostart", name)
    await _virsh(address, "pool-start", name)
    return (name,)


def pool_folder(user_id: int, environment: Mapping[str, str]) -> Path:
    """Where libvirt keeps disks by its own custom: QEMU's user may read there."""
    if user_id == 0:
        return Path("/var/lib/libvirt/images")
    data = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME") or Path.home()) / ".local/share")
    return Path(data) / "libvirt/images"


async def _mount_namespaces_work() -> bool:
    # The same step that libvirt takes before QEMU; it fails where the root folder is no mount point, as in a chroot.
    code, _, _ = await _run("unshare", "--mount", "--propagation", "slave", "true")
    return code == 0


def add_setting(path: Path) -> bool:
    """Tell libvirt to start QEMU without mount namespaces, unless `path` says something about them; whether it did."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if re.search(r"^\s*namespaces\s*=", text, re.MULTILINE):
        return False
    ending = "" if text.endswith("\n") or not text else "\n"
    path.write_text(f"{text}{ending}{_WITHOUT_NAMESPACES}", encoding="utf-8")
    return True


async def _ensure_network(address: str, started: AsyncExitStack) -> str | None:
    """None when the network is active at the end, else why it is not: VMs do without."""
    if NETWORK in await _names(address, "net-list", "--name"):
        return None
    if NETWORK not in await _names(address, "net-list", "--all", "--name"):
        return f"libvirt has no network '{NETWORK}' here"
    bridge, bridge_address = bridge_of(await _virsh(address, "net-dumpxml", NETWORK))
    if is_leftover(bridge, bridge_address, _DEVICES):
        await _run("ip", "link", "delete", bridge, "type", "bridge")
    code, _, said = await _run("virsh", "--connect", address, "net-start", NETWORK)
    if code != 0:
        return f"network '{NETWORK}' does not start: {_sentence(said)}"
    started.push_async_callback(_stop_network_without_guests, address, bridge)
    return None


async def _stop_network_without_guests(address: str, bridge: str) -> None:
    """Stop the network that was started here, unless a VM that runs on is attached to it."""
    if not attached(bridge, _DEVICES):
        await _virsh(address, "net-destroy", NETWORK)


def is_leftover(bridge: str, address: str, devices: Path) -> bool:
    """Whether the bridge of a network that does not run is there all the same, with nobody attached or serving it.

    A libvirt whose container was ended leaves it so, and it keeps the network from starting.
    """
    if not (devices / bridge / "bridge").is_dir() or attached(bridge, devices):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 53))  # where a libvirt that is alive has its name server
        except OSError:
            return False
    return True


def bridge_of(network_xml: str) -> tuple[str, str]:
    """The bridge of the network that libvirt describes so, and the address that the host has on it."""
    network = ET.fromstring(network_xml)  # noqa: S314 - from our own libvirtd
    bridge, address = network.find("bridge"), network.find("ip")
    return (
        bridge.get("name", "") if bridge is not None else "",
        address.get("address", "") if address is not None else "",
    )


def attached(bridge: str, devices: Path) -> tuple[str, ...]:
    """The network devices on the bridge."""
    ports = devices / bridge / "brif"
    return tuple(sorted(port.name for port in ports.iterdir())) if ports.is_dir() else ()


async def _names(address: str, *command: str) -> tuple[str, ...]:
    return tuple((await _virsh(address, *command)).split())


async def _virsh(address: str, *command: str) -> str:
    return await _done("virsh", "--connect", address, *command)


async def _done(*argv: str) -> str:
    code, output, said = await _run(*argv)
    if code != 0:
        raise CannotRun(f"{' '.join(argv)} failed: {_sentence(said)}")
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
            output, said = await process.communicate()
    except TimeoutError:
        raise CannotRun(f"{' '.join(argv)} gave no answer within {deadline_s:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace"), said.decode(errors="replace")


def _sentence(text: str) -> str:
    return " ".join(text.split()) or "it did not say why."
