"""The hosts of a cell: what a scenario reads of their guests, and a simulated one."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from tests.deployment.deployment import Deployment
from tests.deployment.simulated_host import HeldGuest, SimulatedHost

FOREIGN = "foreign-0001"  # the guest that a simulated host has from the start
SHAPE: Mapping[str, Any] = {
    "cores": "2", "memory": "2048", "storage": "root:4,data:8", "interfaces": "eth0:name=lan;eth1:name=dmz",
}  # fmt: skip
LARGE: Mapping[str, Any] = {"cpu_count": "3", "mem": "1024"}  # more cores than any existing machine has
_MAC_ADDRESSES = "select mac_address from nic join guest using (guest_id) where guest.name = ? order by position"
_PARTS = """
    select (select count(*) from disk where disk.guest_id = guest.guest_id),
           (select count(*) from nic where nic.guest_id = guest.guest_id) from guest where name = ?
"""
_BOOT_ORDER = """
    select coalesce(pending, devices, ''), coalesce(once, '')
      from boot_order join guest using (guest_id) where name = ?
"""
_SIZE = "select cores, memory_mib from guest where name = ?"
_GENERATION = "select number from generation join guest using (guest_id) where name = ?"
_BOOT_POSITION = """
    select disk.position from boot_disk join guest using (guest_id)
      join disk on (disk.guest_id, disk.pool, disk.volume) = (guest.guest_id, boot_disk.pool, boot_disk.volume)
     where guest.name = ?
"""
_MARKED = (
    "select name from guest where machine_id is not null union all select name from volume where machine_id is not null"
)
_ADDRESS = "simulated:{name}?cores=8&memory_mib=16384&guests=1&networks=lan:10.1.0.0/24,dmz:10.2.0.0/24"


@define(kw_only=True)
class CellHost:
    """One VM host. `host_id` is 0 before it is added; `fields` are those that add it.

    `after` is the newest operation before the request.
    """

    name: str
    fields: Mapping[str, str] = field(factory=dict)
    host_id: int = 0
    after: int = 0

    @property
    def path(self) -> str:
        return f"vm-hosts/{self.host_id}/"

    def trust_problems(self) -> list[str]:
        """What is wrong with the certificates that the server trusts. May block."""
        return []


@define(kw_only=True)
class GuestHost(CellHost, ABC):
    """A host whose guests the scenario can read and change; each method may block.

    `shape` are the fields of a compose, `allocation` those of an allocation that must compose.
    """

    shape: Mapping[str, Any] = SHAPE
    allocation: Mapping[str, Any] = LARGE

    def hostname(self, name: str) -> str:
        """The name under which a machine is created on this host."""
        return name

    @abstractmethod
    def add_foreign(self, name: str) -> str:
        """Creates a guest without our marker; returns its name."""

    def foreign_problems(self) -> list[str]:
        """What happened to guests that were on the host from the start."""
        return []

    @abstractmethod
    def marked(self) -> list[str]:
        """Names of the guests and volumes with our marker."""

    def left_behind(self) -> list[str]:
        """What the removal of the host with its machines should have deleted."""
        return self.marked()

    @abstractmethod
    def machine_problems(self, machines: list[Any]) -> list[str]:
        """Marked guests that differ from the machines, and marked volumes that no guest uses."""

    @abstractmethod
    def is_marked(self, guest: str) -> bool | None:
        """None if there is no such guest."""

    @abstractmethod
    def power(self, guest: str) -> str | None:
        """`on` or `off`; None if there is no such guest."""

    @abstractmethod
    def all_but_marker(self, guest: str) -> Any:
        """Everything about the guest that adoption must not change."""

    def parts(self, guest: str) -> tuple[int, int] | None:
        """The numbers of disks and NICs; None if the host does not report them."""
        return None

    def mac_addresses(self, guest: str) -> list[str] | None:
        """Those of its NICs, in their order; None if the host does not report them."""
        return None

    def boot_position(self, guest: str) -> int | None:
        """The position of the disk that was chosen to boot first; -1: none was, None: the host does not report it."""
        return None

    def boot_order(self, guest: str) -> str | None:
        """The kinds of devices of its next start, by commas; None: the host does not report them here."""
        return None

    def start_order(self, guest: str) -> tuple[int, int] | None:
        """Its priority and delay; None: the host does not report them here."""
        return None

    def iso(self, guest: str) -> str | None:
        """The SHA-256 of the image in its drive; None: the host does not report it here."""
        return None

    def booted_once(self, guest: str) -> str | None:
        """The order of its present start only; None: the host does not report it here."""
        return None

    def size(self, guest: str) -> tuple[int, int] | None:
        """Its cores and memory in MiB; None: the host does not report them here."""
        return None

    def generation(self, guest: str) -> int | None:
        """How often a use of it has begun; None: the host does not report it here."""
        return None

    def bound(self, guest: str) -> tuple[list[int], bool] | None:
        """Its pinned cores, and whether its memory is in huge pages; None: the host does not report them here."""
        return None

    def count(self, guest: str, event: str, since: int = 0) -> int | None:
        """How often `event` happened to the guest after the change `since`; None if the host keeps no history."""
        return None

    def switched(self, guest: str) -> list[str | None] | None:
        """The power states that the guest was switched to, in order; None if the host keeps no history."""
        return None

    def newest_change(self) -> int:
        """The number of the newest change in the host's history; 0 without a history."""
        return 0


@define(kw_only=True)
class SimulatedCellHost(GuestHost):
    file: SimulatedHost

    @classmethod
    def new(cls, deployment: Deployment, name: str, **more: Any) -> SimulatedCellHost:
        """A host that is not added yet."""
        fields = {"type": "simulated", "power_address": _ADDRESS.format(name=name), "name": name}
        return cls(name=name, fields=fields, file=deployment.simulated(name), **more)

    def add_foreign(self, name: str) -> str:
        self.file.add_foreign(name)
        return name

    def foreign_problems(self) -> list[str]:
        names = self.file.foreign_names()
        return [] if FOREIGN in names else [f"the foreign guests on {self.name} are {names}"]

    def marked(self) -> list[str]:
        return [row[0] for row in self.file.rows(_MARKED)]

    def left_behind(self) -> list[str]:
        """The volumes of a forgotten machine's guest stay marked."""
        return [*(name for name, _ in self.file.marked_guests()), *self.file.orphaned_volumes()]

    def machine_problems(self, machines: list[Any]) -> list[str]:
        found = {guest for guest in self.file.guests().values() if guest.machine_id is not None}
        wanted = {HeldGuest.of_machine(machine) for machine in machines}
        return [
            *(f"guest without machine: {one}" for one in found - wanted),
            *(f"machine without guest: {one}" for one in wanted - found),
            *(f"volume without guest: {name}" for name in self.file.orphaned_volumes()),
        ]

    def is_marked(self, guest: str) -> bool | None:
        found = self.file.rows("select machine_id is not null from guest where name = ?", guest)
        return bool(found[0][0]) if found else None

    def power(self, guest: str) -> str | None:
        found = self.file.guests().get(guest)
        return found.power if found is not None else None

    def all_but_marker(self, guest: str) -> Any:
        return self.file.all_but_marker(guest)

    def parts(self, guest: str) -> tuple[int, int] | None:
        return next(((disks, nics) for disks, nics in self.file.rows(_PARTS, guest)), (0, 0))

    def mac_addresses(self, guest: str) -> list[str] | None:
        return [address for (address,) in self.file.rows(_MAC_ADDRESSES, guest)]

    def boot_position(self, guest: str) -> int | None:
        return next((position for (position,) in self.file.rows(_BOOT_POSITION, guest)), -1)

    def boot_order(self, guest: str) -> str | None:
        return next((str(order) for order, _ in self.file.rows(_BOOT_ORDER, guest)), "")

    def start_order(self, guest: str) -> tuple[int, int] | None:
        found = self.file.rows(
            "select priority, delay_s from start_order join guest using (guest_id) where name = ?", guest
        )
        return next(((priority, delay_s) for priority, delay_s in found), (0, 0))

    def iso(self, guest: str) -> str | None:
        found = self.file.rows("select sha256 from iso join guest using (guest_id) where name = ?", guest)
        return next((str(sha256) for (sha256,) in found), "")

    def booted_once(self, guest: str) -> str | None:
        return next((str(once) for _, once in self.file.rows(_BOOT_ORDER, guest)), "")

    def size(self, guest: str) -> tuple[int, int] | None:
        return next(((cores, memory_mib) for cores, memory_mib in self.file.rows(_SIZE, guest)), (0, 0))

    def generation(self, guest: str) -> int | None:
        return next((number for (number,) in self.file.rows(_GENERATION, guest)), 0)

    def bound(self, guest: str) -> tuple[list[int], bool] | None:
        found = self.file.rows(
            "select core_ids, huge_pages from pinning join guest using (guest_id) where name = ?", guest
        )
        return next(((sorted(json.loads(ids)), bool(pages)) for ids, pages in found), ([], False))

    def count(self, guest: str, event: str, since: int = 0) -> int | None:
        return self.file.count(guest, event, since)

    def switched(self, guest: str) -> list[str | None] | None:
        return [power for event, power in self.file.changes(guest) if event == "power"]

    def newest_change(self) -> int:
        return self.file.newest_change()
