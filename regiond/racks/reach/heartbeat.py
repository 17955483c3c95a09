"""Announces this region process and its rack links to the other regions, every 10 s."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import structlog

from common.errors import DatabaseUnavailable
from common.process.periodic import PeriodicTask
from regiond.db.pool import Database, reading
from regiond.racks.reach import heartbeat_store
from regiond.racks.reach.heartbeat_store import RackReport, RegionRow

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

WRITE_EVERY_S = 10.0  # other regions treat a process as dead after 30 s
DELETE_DEADLINE_S = 5.0
NO_REPORT = RackReport()

_MACHINE_ID = re.compile(r"[0-9a-f]{32}")


class Heartbeat:
    """Writes the rows of this region process from memory, so it also restores rows that were lost meanwhile.

    Rows get lost when another region deletes them (this process was suspended) or the database is restored from a
    backup. Timestamps are the database's.
    """

    def __init__(
        self,
        database: Database,
        *,
        hostname: str,
        pid: int,
        rpc_address: Callable[[], str | None] = lambda: None,
        api_url: Callable[[], str | None] = lambda: None,
        release: str | None = None,
        schema_number: int | None = None,
        region_id: UUID | None = None,
    ) -> None:
        self.region_id = region_id or uuid4()
        self._database = database
        self._hostname = hostname
        self._rpc_address = rpc_address
        self._pid = pid
        self._api_url = api_url
        self._release = release
        self._schema_number = schema_number
        self._reports: dict[UUID, RackReport] = {}
        self._link_counts: dict[UUID, int] = {}
        self._writing = asyncio.Lock()
        self._task = PeriodicTask("region_heartbeat", self.write, every_s=WRITE_EVERY_S, first_after_s=WRITE_EVERY_S)
        self._started = False

    @property
    def problem(self) -> str | None:
        """Why the last periodic write failed; None if it did not."""
        return self._task.problem

    @property
    def linked_racks(self) -> frozenset[UUID]:
        """The racks with a link to this process."""
        return frozenset(self._link_counts)

    async def start(self) -> None:
        """Returns when other processes can see this one. Raises DatabaseUnavailable."""
        await self.write()
        self._task.start()
        self._started = True

    async def stop(self) -> None:
        """Deletes this process's rows. Without a database they expire instead. Does nothing before `start`."""
        started, self._started = self._started, False
        if not started:
            return
        await self._task.stop()
        self._link_counts.clear()
        self._reports.clear()
        try:
            async with asyncio.timeout(DELETE_DEADLINE_S):
                await self.delete_region(self.region_id)
        except (DatabaseUnavailable, TimeoutError) as error:
            log.warning("region_rows_not_deleted", reason=str(error) or "timed out")

    def wake(self) -> None:
        """Writes now: while the database was away, its rows have become too old to count. Nothing before `start`."""
        if self._started:
            self._task.wake()

    addresses = reading(heartbeat_store.addresses)

    async def awaits_racks(self) -> bool:
        """Returns whether racks have links to other regions that can serve, and none to this one.

        Raises DatabaseUnavailable.
        """
        if self._link_counts:
            return False
        async with self._database.connection() as db:
            return await heartbeat_store.linked_elsewhere(db, self.region_id)

    async def stale_local_regions(self) -> tuple[UUID, ...]:
        """Returns region processes of this computer that died without deleting their rows; their leases are free.

        If the process id is in use again, the process counts as alive; its leases then lapse as between computers.
        """
        async with self._database.connection() as db:
            found = await heartbeat_store.local_regions(db, self._hostname, other_than=self.region_id)
        return tuple(region_id for region_id, pid in found.items() if not _is_alive(pid))

    async def delete_region(self, region_id: UUID) -> None:
        """Deletes the rows of a process that is known to be dead. Idempotent."""
        async with self._database.connection() as db:
            await heartbeat_store.delete_region(db, region_id)

    async def add_link(self, rack_id: UUID, report: RackReport = NO_REPORT) -> None:
        """Records a new link to the rack. Links are counted: a new one can precede the end of the old one."""
        self._link_counts[rack_id] = self._link_counts.get(rack_id, 0) + 1
        self._reports[rack_id] = report
        await self.write()

    async def remove_link(self, rack_id: UUID) -> None:
        """Records the end of one link. After DatabaseUnavailable the next periodic write corrects the rows."""
        left = self._link_counts.pop(rack_id, 0) - 1
        if left > 0:
            self._link_counts[rack_id] = left
        else:
            await self.write()

    async def write(self) -> None:
        """Writes this process and its links now. Raises DatabaseUnavailable. Idempotent."""
        async with self._writing:  # one write at a time, so that the last one has the newest links
            await self._database.in_transaction(lambda db: heartbeat_store.write(db, self._row(), self._linked_racks()))

    def _row(self) -> RegionRow:
        return RegionRow(
            id=self.region_id,
            hostname=self._hostname,
            pid=self._pid,
            release=self._release,
            schema_number=self._schema_number,
            rpc_address=self._rpc_address(),
            api_url=self._api_url(),
        )

    def _linked_racks(self) -> dict[UUID, RackReport]:
        return {rack_id: self._reports.get(rack_id, NO_REPORT) for rack_id in sorted(self._link_counts)}


def pid_scope(files: Path = Path("/")) -> str:
    """Returns a name that two processes share exactly if each can see the other's process id.

    It begins with the host name, for people. The systemd unit hides the boot id, so the machine id distinguishes two
    computers with one host name. Without a machine id no other process has this name; leases of a dead region then
    expire.
    """
    machine_id = _text_of(files / "etc/machine-id")
    if _MACHINE_ID.fullmatch(machine_id) is None:
        machine_id = f"unknown-{uuid4()}"
    boot_id = _text_of(files / "proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {machine_id} {boot_id or '-'} {os.readlink('/proc/self/ns/pid')}"


def _text_of(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""


def _is_alive(pid: int) -> bool:
    """Returns False for a process that has ended, also while it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
