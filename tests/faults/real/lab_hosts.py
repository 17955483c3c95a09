"""Real hypervisors of the lab: what they hold under our names, as their administrator sees it, and their death."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import libvirt
from attrs import define, frozen

from tests.lab.host_setup import host_bridge
from tests.lab.lab_host import LabHost
from tests.lab.lxd_server import LxdServer, lab_server, why_no_lxd
from tests.lab.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd

PREFIX = "ikreal-"
_MARK = "user.innkeeper.machine"


@frozen(kw_only=True)
class LabGuest:
    machine_id: str | None
    running: bool


class LabServer(Protocol):
    """Everything here blocks."""

    platform: str

    @property
    def prefix(self) -> str:
        """With which all names begin that are given here."""

    @property
    def rack_prefix(self) -> tuple[str, ...]:
        """Put before the command of the rack that is to reach it."""

    def adding(self) -> dict[str, str]:
        """The fields with which the host is added."""

    def cards(self) -> str | None:
        """The text of `interfaces` that asks for two cards; None: whatever a machine gets."""

    def guests(self) -> dict[str, LabGuest]: ...
    def volumes(self) -> set[str]:
        """Those with a name that we give, beside what goes with a guest anyway."""

    def unused(self) -> set[str]:
        """Those of `volumes` that no guest has."""

    def make_foreign(self) -> str:
        """The name of a guest that is somebody else's."""

    def kill(self) -> None: ...
    def start(self) -> None: ...
    def sweep(self) -> None:
        """All that was made here is gone, ours or not."""


@define(kw_only=True)
class Lxd:
    server: LxdServer
    bridge: str  # of the server, beside LXD's own, which takes one card of each machine
    platform: str = "LXD"
    prefix: str = PREFIX
    rack_prefix: tuple[str, ...] = ()

    def adding(self) -> dict[str, str]:
        return {
            "type": "lxd", "power_address": self.server.address, "password": self.server.token("innkeeper"),
            "cpu_over_commit_ratio": "10",
        }  # fmt: skip

    def cards(self) -> str | None:
        return f"eth0:name={self.server.managed_bridge};eth1:name={self.bridge}"

    def guests(self) -> dict[str, LabGuest]:
        return {
            one["name"]: LabGuest(machine_id=one["config"].get(_MARK), running=one["status"] == "Running")
            for one in self.server.ask("/1.0/instances?recursion=1")
            if one["name"].startswith(self.prefix)
        }

    def volumes(self) -> set[str]:
        return {name for _, name in self.server.volumes() if name.startswith("ik-")}

    def unused(self) -> set[str]:
        told = self.server.ask("/1.0/storage-pools/default/volumes/custom?recursion=1")
        return {one["name"] for one in told if one["name"].startswith("ik-") and not one["used_by"]}

    def make_foreign(self) -> str:
        self.server.make_many(f"{self.prefix}theirs", "default", range(1))
        return f"{self.prefix}theirs0"

    def trusted(self) -> set[str]:
        """Fingerprints of whoever may come in."""
        return self.server.trusted()

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def sweep(self) -> None:
        self.server.sweep(self.prefix)


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

    def cards(self) -> str | None:
        return None  # it has no network

    def guests(self) -> dict[str, LabGuest]:
        found = {name: self._guest(name) for name in self.host.names()}
        return {name: guest for name, guest in found.items() if guest is not None}

    def _guest(self, name: str) -> LabGuest | None:
        """None when it has gone since it was listed."""
        try:
            mark, running = self.host.mark(name), self.host.is_running(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return None
        return LabGuest(machine_id=mark["machine"] if mark else None, running=running)

    def volumes(self) -> set[str]:
        return {name for name in self.host.volumes() if name.startswith("ik-")}

    def unused(self) -> set[str]:
        sources = [disk for name in self.host.names() for disk in self.host.tree(name).findall("devices/disk/source")]
        return self.volumes() - {Path(disk.get("file", "")).name for disk in sources}

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


def why_none(platform: str) -> str | None:
    return why_no_lxd() if platform == "LXD" else why_no_own_libvirtd()


@contextmanager
def _lxd() -> Iterator[Lxd]:
    server = lab_server()
    before = server.trusted()
    with host_bridge("10.254.9.1/24") as bridge:
        made = Lxd(server=server, bridge=bridge)
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
            with suppress(AssertionError):  # what it says is in its log; what is left goes with its folder
                daemon.start()
        host.close()
        daemon.close()


@contextmanager
def opened(platform: str, folder: Path) -> Iterator[LabServer]:
    """The lab's LXD, or a libvirtd of its own in `folder`."""
    if platform == "LXD":
        with _lxd() as lxd:
            yield lxd
    else:
        with _libvirt(folder) as libvirt:
            yield libvirt
