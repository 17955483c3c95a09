"""Real hypervisors of the lab: what they hold under the names of these tests, and how they are killed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import libvirt
from attrs import define, frozen

from tests.faults.scenarios.cell_hosts import GuestHost
from tests.lab.servers.host_setup import host_bridge
from tests.lab.servers.incus_server import incus_server, why_no_incus
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.lxd_server import LxdServer, lab_server, why_no_lxd
from tests.lab.servers.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd

PREFIX = "ikreal-"
INCUS_VERSION = "7"
_MARKER_KEY = "user.innkeeper.machine"


@frozen(kw_only=True)
class LabGuest:
    """`machine_id` is that of the ownership marker."""

    machine_id: str | None
    running: bool


class LabServer(Protocol):
    """Every method blocks."""

    platform: str

    @property
    def prefix(self) -> str:
        """The prefix of all names that these tests give."""

    @property
    def rack_prefix(self) -> tuple[str, ...]:
        """Put before the command of a rack, so that it reaches this server."""

    def adding(self) -> dict[str, str]:
        """The fields that add the host, with a new token if it needs one."""

    def nics(self) -> str | None:
        """The value of `interfaces` for two NICs; None for the default NICs."""

    def guests(self) -> dict[str, LabGuest]: ...
    def volumes(self) -> set[str]:
        """Volumes with a name that Innkeeper gives, except those that belong to a guest on every platform."""

    def unused(self) -> set[str]:
        """Those of `volumes` that no guest uses."""

    def trusted(self) -> set[str]:
        """Fingerprints of the trusted certificates; empty where there are none."""

    def make_foreign(self) -> str:
        """Creates a guest without our marker; returns its name."""

    def kill(self) -> None: ...
    def start(self) -> None: ...
    def sweep(self) -> None:
        """Removes everything that these tests created."""


@define(kw_only=True)
class Lxd:
    server: LxdServer
    bridge: str  # of the server, for the second NIC; the first uses LXD's bridge
    platform: str = "LXD"
    prefix: str = PREFIX
    rack_prefix: tuple[str, ...] = ()

    def adding(self) -> dict[str, str]:
        return {
            "type": "lxd", "power_address": self.server.address, "password": self.server.token("innkeeper"),
            "cpu_over_commit_ratio": "10",
        }  # fmt: skip

    def nics(self) -> str | None:
        return f"eth0:name={self.server.managed_bridge};eth1:name={self.bridge}"

    def guests(self) -> dict[str, LabGuest]:
        return {
            one["name"]: LabGuest(machine_id=one["config"].get(_MARKER_KEY), running=one["status"] == "Running")
            for one in self.server.ask("/1.0/instances?recursion=1")
            if one["name"].startswith(self.prefix)
        }

    def volumes(self) -> set[str]:
        return {name for _, name in self.server.volumes() if name.startswith("ik-")}

    def unused(self) -> set[str]:
        volumes = self.server.ask("/1.0/storage-pools/default/volumes/custom?recursion=1")
        return {one["name"] for one in volumes if one["name"].startswith("ik-") and not one["used_by"]}

    def root_disk_begins(self, name: str, size_bytes: int) -> str | None:
        """The SHA-256 of the first bytes of the root disk; None while there is none."""
        file, _ = self.server.volume_files("default", name, "")
        try:
            with file.open("rb") as disk:
                return hashlib.sha256(disk.read(size_bytes)).hexdigest()
        except FileNotFoundError:
            return None

    def make_foreign(self) -> str:
        self.server.make_many(f"{self.prefix}theirs", "default", range(1))
        return f"{self.prefix}theirs0"

    def trusted(self) -> set[str]:
        return self.server.trusted()

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def sweep(self) -> None:
        self.server.sweep(self.prefix)
        self.server.delete_our_images()


@define(kw_only=True)
class Libvirt:
    daemon: OwnLibvirtd
    host: LabHost
    platform: str = "libvirt"

    @property
    def prefix(self) -> str:
        return self.host.prefix

    @property
    def rack_prefix(self) -> tuple[str, ...]:
        return self.daemon.entering

    def adding(self) -> dict[str, str]:
        return {"type": "virsh", "power_address": "qemu:///system", "cpu_over_commit_ratio": "10"}

    def nics(self) -> str | None:
        return None  # this libvirt has no network

    def guests(self) -> dict[str, LabGuest]:
        found = {name: self._guest(name) for name in self.host.names()}
        return {name: guest for name, guest in found.items() if guest is not None}

    def _guest(self, name: str) -> LabGuest | None:
        """None if it was removed since it was listed."""
        try:
            marker, running = self.host.marker(name), self.host.is_running(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return None
        return LabGuest(machine_id=marker["machine"] if marker else None, running=running)

    def volumes(self) -> set[str]:
        return {name for name in self.host.volumes() if name.startswith("ik-")}

    def unused(self) -> set[str]:
        sources = [disk for name in self.host.names() for disk in self.host.tree(name).findall("devices/disk/source")]
        return self.volumes() - {Path(disk.get("file", "")).name for disk in sources}

    def trusted(self) -> set[str]:
        return set()

    def make_foreign(self) -> str:
        return str(self.host.make_foreign("theirs").name())

    def kill(self) -> None:
        self.daemon.kill()

    def start(self) -> None:
        self.daemon.start()
        self.host.connect()

    def sweep(self) -> None:
        for name in self.host.names():
            domain: Any = self.host.domain(name)
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        self.host.lose_volumes()
        self.host.pool.refresh()


@define(kw_only=True)
class LabCellHost(GuestHost):
    """The lab's server as the host of one cell."""

    server: LabServer
    trusted_before: frozenset[str] = frozenset()

    @classmethod
    def new(cls, server: LabServer, name: str) -> LabCellHost:
        nics = server.nics()
        shape = {"cores": "1", "memory": "1024", "storage": "1,1", **({"interfaces": nics} if nics else {})}
        return cls(name=name, fields={"name": name, **server.adding()}, shape=shape, server=server)

    def hostname(self, name: str) -> str:
        return f"{self.server.prefix}{name}"

    def add_foreign(self, name: str) -> str:
        return self.server.make_foreign()

    def marked(self) -> list[str]:
        guests = [name for name, guest in self.server.guests().items() if guest.machine_id is not None]
        return [*guests, *self.server.volumes()]

    def machine_problems(self, machines: list[Any]) -> list[str]:
        wanted = {
            one["hostname"]: LabGuest(machine_id=one["hardware_uuid"], running=one["power_state"] == "on")
            for one in machines
        }
        found = {name: guest for name, guest in self.server.guests().items() if guest.machine_id is not None}
        return [
            *([f"the machines are {wanted}, and the host has {found}"] if found != wanted else []),
            *(f"volume without guest: {name}" for name in self.server.unused()),
        ]

    def is_marked(self, guest: str) -> bool | None:
        found = self.server.guests().get(guest)
        return None if found is None else found.machine_id is not None

    def power(self, guest: str) -> str | None:
        found = self.server.guests().get(guest)
        return None if found is None else "on" if found.running else "off"

    def all_but_marker(self, guest: str) -> Any:
        return self.power(guest)

    def remember_trust(self) -> None:
        self.trusted_before = frozenset(self.server.trusted())

    def has_new_certificate(self) -> bool:
        """Whether the server trusts a certificate that it did not trust before the request."""
        return bool(self.server.trusted() - self.trusted_before)

    def trust_problems(self) -> list[str]:
        """A rotation replaces one certificate."""
        now = self.server.trusted()
        new, removed = len(now - self.trusted_before), len(self.trusted_before - now)
        return [] if (new, removed) == (1, 1) else [f"{new} certificates were added, {removed} removed"]


def why_none(platform: str) -> str | None:
    if platform == "Incus":
        return why_no_incus(INCUS_VERSION)
    return why_no_lxd() if platform == "LXD" else why_no_own_libvirtd()


@contextmanager
def _lxd(server: LxdServer, platform: str) -> Iterator[Lxd]:
    before = server.trusted()
    with host_bridge("10.254.9.1/24") as bridge:
        made = Lxd(server=server, bridge=bridge, platform=platform)
        try:
            yield made
        finally:
            made.sweep()
            for found in server.trusted() - before:
                server.ask(f"/1.0/certificates/{found}", method="DELETE")


@contextmanager
def _libvirt(folder: Path) -> Iterator[Libvirt]:
    daemon = OwnLibvirtd(folder)
    daemon.start()
    host = LabHost(folder, uri=daemon.uri)
    made = Libvirt(daemon=daemon, host=host)
    try:
        yield made
    finally:
        if not daemon.is_running:
            with suppress(AssertionError):  # its log has the reason; its folder is removed
                daemon.start()
        host.close()
        daemon.close()


@contextmanager
def opened(platform: str, folder: Path) -> Iterator[LabServer]:
    """The lab's LXD or Incus, or a libvirtd for this run in `folder`."""
    if platform in {"LXD", "Incus"}:
        with _lxd(lab_server() if platform == "LXD" else incus_server(INCUS_VERSION), platform) as lxd:
            yield lxd
    else:
        with _libvirt(folder) as libvirt:
            yield libvirt
