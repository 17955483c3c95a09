"""Adds, changes, refreshes, trusts and removes hosts: the public functions of `hosts`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import structlog

from common.errors import InnkeeperError, InvalidRequest, NotFound, OperationPending
from common.rpc.commands import HOST_IDENTIFY, HOST_PROJECTS, HostCall
from common.values import DriverType, Project
from regiond.caller import Caller
from regiond.credentials.service import Credentials, KeyPairs
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.hosts import store, view_store
from regiond.hosts.discovery.allocation_store import allocation_of, write_allocations
from regiond.hosts.discovery.orphaned_volume_store import delete_orphaned_volumes
from regiond.hosts.discovery.refresh import IDENTIFY_DEADLINE_S
from regiond.hosts.discovery.store import guests_by_id
from regiond.hosts.guest_ownership import (
    attach_guest,
    attach_record,
    clear_guest_marker,
    detach_guest,
    lock_guests,
    reattach_guest,
    record_guest,
    shares_server,
)
from regiond.hosts.host_address import parse_host_address
from regiond.hosts.model import GuestView, HostChange, HostRemoval, HostView, NewHost, check_change, with_console_tag
from regiond.hosts.numa_usage import numa_usage
from regiond.hosts.operation_intents import open_refresh, open_removal
from regiond.hosts.store import reopen_host
from regiond.hosts.trust.accepted_identity import accept_identity
from regiond.hosts.trust.host_credentials import HostCredentials
from regiond.hosts.trust.power_parameters import power_parameters
from regiond.hosts.trust.rotation import open_rotation
from regiond.hosts.view_store import read_host
from regiond.identifiers import new_hostname, new_system_id
from regiond.operations.model import Operation
from regiond.operations.service import Operations, outcome
from regiond.racks.model import SupervisedHost
from regiond.racks.service import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db
    from regiond.hosts.model import NumaNodeView

__all__ = [
    "Hosts",
    "allocation_of",
    "attach_guest",
    "attach_record",
    "clear_guest_marker",
    "delete_orphaned_volumes",
    "detach_guest",
    "guests_by_id",
    "guests_of_host",
    "lock_guests",
    "parse_host_address",
    "read_host",
    "reattach_guest",
    "record_guest",
    "reopen_host",
    "shares_server",
    "write_allocations",
]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PROJECTS_DEADLINE_S = 30.0
FIRST_REFRESH_WAIT_S = 50.0  # MAAS clients end the request that adds a host after 60 s
DEFAULT_PROJECT = "default"


async def guests_of_host(db: Db, host_id: int) -> tuple[GuestView, ...]:
    """Returns the guests of the host, managed and foreign, by id; none for an unknown host."""
    return await view_store.list_guests(db, host_id=host_id)


class Hosts:
    """Methods that take a `caller` raise NotAllowed unless it is an administrator, NotFound for an unknown host."""

    def __init__(
        self,
        database: Database,
        operations: Operations,
        groups: Groups,
        credentials: Credentials,
        calls: HostCalls,
        key_pairs: KeyPairs,
        *,
        simulated_allowed: bool,
        certificate_url: Callable[[str], str],
    ) -> None:
        self._database = database
        self._operations = operations
        self._groups = groups
        self._credentials = credentials
        self._calls = calls
        self._key_pairs = key_pairs
        self._host_credentials = HostCredentials(database, credentials, key_pairs)
        self._simulated_allowed = simulated_allowed
        self._certificate_url = certificate_url

    async def list(self) -> tuple[HostView, ...]:
        """By id."""
        async with self._database.connection() as db:
            return await view_store.list_hosts(db)

    async def supervised_hosts(self) -> tuple[SupervisedHost, ...]:
        """Returns all hosts by id, with only what the link supervisor needs every few seconds."""
        async with self._database.connection() as db:
            return await view_store.supervised_hosts(db)

    async def read(self, host_id: int) -> HostView:
        """Raises NotFound."""
        async with self._database.connection() as db:
            return await read_host(db, host_id)

    async def ids_of(self, ids_or_names: Iterable[str]) -> Mapping[str, frozenset[int]]:
        """The hosts that each text means. Several hosts may share a name; an unknown text means none."""
        async with self._database.connection() as db:
            return await view_store.ids_of(db, ids_or_names)

    async def create(self, caller: Caller, new: NewHost) -> HostView:
        """Adds a host and refreshes it once. Succeeds for an unreachable host, which then has an error.

        Raises InvalidRequest by field, also if a host with this address and project exists.
        """
        caller.require_admin()
        address = parse_host_address(new.driver, new.address, simulated_allowed=self._simulated_allowed)
        zone_id = await self._groups.requested_zone_id(new.zone) or 1
        pool_id = await self._groups.requested_pool_id(new.pool) or 0
        name = new.name or new_hostname()
        prepared = await self._host_credentials.prepare(new, name, address)
        project = new.project or (DEFAULT_PROJECT if new.driver is DriverType.LXD else "")
        async with self._database.transaction() as db:
            host_id = await store.insert(
                db, name=name, driver=new.driver, address=address.normalised, project=project, zone_id=zone_id,
                pool_id=pool_id, tags=with_console_tag(new.tags), cpu_over_commit_ratio=new.cpu_over_commit_ratio,
                memory_over_commit_ratio=new.memory_over_commit_ratio, reserved_cores=new.reserved_cores,
                reserved_memory_mib=new.reserved_memory_mib, default_macvlan_mode=new.default_macvlan_mode,
                system_id=new_system_id(), public_key=prepared.public_key,
            )  # fmt: skip
            await self._host_credentials.store(db, host_id, address, prepared, new.driver)
            await Events.record(db, "host_added", f"{name} was added", caller=caller, host_id=host_id)
        await self._try_refresh(caller, host_id)
        return await self.read(host_id)

    async def update(self, caller: Caller, host_id: int, change: HostChange) -> HostView:
        """Changes the given fields and refreshes the host. Idempotent. Raises InvalidRequest by field."""
        caller.require_admin()
        before = await self.read(host_id)
        check_change(change, before)
        address = self._new_address(change, before)
        zone_id = await self._groups.requested_zone_id(change.zone)
        pool_id = await self._groups.requested_pool_id(change.pool)
        prepared = await self._host_credentials.prepare_change(change, before, address)
        async with self._database.transaction() as db:
            storage_pool_id = await store.storage_pool_id(db, host_id, change.default_storage_pool)
            await store.update(
                db, host_id, name=change.name, address=address, zone_id=zone_id, pool_id=pool_id,
                tags=None if change.tags is None else with_console_tag(change.tags),
                cpu_over_commit_ratio=change.cpu_over_commit_ratio,
                memory_over_commit_ratio=change.memory_over_commit_ratio, reserved_cores=change.reserved_cores,
                reserved_memory_mib=change.reserved_memory_mib, default_storage_pool_id=storage_pool_id,
                default_macvlan_mode=change.default_macvlan_mode,
            )  # fmt: skip
            if address is not None:
                await store.unpin(db, host_id)  # another address is another first contact
            await self._host_credentials.store_change(db, before, prepared, address)
            await Events.record(db, "host_changed", f"{before.name} was changed", caller=caller, host_id=host_id)
        await self._try_refresh(caller, host_id)
        return await self.read(host_id)

    async def start_refresh(self, caller: Caller, host_id: int) -> Operation:
        """Opens a refresh, or returns the open one."""
        caller.require_admin()
        host = await self.read(host_id)
        async with self._database.transaction() as db:
            operation_id = await open_refresh(db, caller, host)
        return await self._operations.read(operation_id)

    async def start_remove(self, caller: Caller, host_id: int, removal: HostRemoval) -> Operation:
        """Opens the removal, or returns the open one. It first deletes the machines that `removal` selects.

        Raises Busy if the open one treats the machines differently.
        """
        caller.require_admin()
        host = await self.read(host_id)
        async with self._database.transaction() as db:
            operation_id = await open_removal(db, caller, host, removal)
        return await self._operations.read(operation_id)

    async def start_rotate(self, caller: Caller, host_id: int, *, password: str | None = None) -> Operation:
        """Opens the rotation of the server's key pair, or returns the open one.

        `password` is a token for the new pair. Raises Unsupported, WrongState.
        """
        caller.require_admin()
        host = await self.read(host_id)
        async with self._database.transaction() as db:
            operation_id = await open_rotation(db, caller, host, self._credentials, password)
        return await self._operations.read(operation_id)

    async def projects(self, caller: Caller, host_id: int) -> tuple[Project, ...]:
        """The server's projects, read from it now; none with drivers that have no projects."""
        caller.require_admin()
        await self.read(host_id)
        found = await self._calls.call(
            host_id, HOST_PROJECTS, lambda access: HostCall(access=access), deadline_s=PROJECTS_DEADLINE_S
        )
        return found.projects

    async def numa(self, host_id: int) -> tuple[NumaNodeView, ...]:
        """The NUMA nodes of the server by id; none before the first good refresh. Raises NotFound."""
        async with self._database.connection() as db:
            host = await read_host(db, host_id)
            allocated = await view_store.numa_allocations(db, host_id)
        return numa_usage(host.numa_nodes, host.network_devices, allocated)

    async def parameters(self, caller: Caller, host_id: int) -> dict[str, str]:
        """The connection parameters as text values, without secrets that Innkeeper generated."""
        caller.require_admin()
        host = await self.read(host_id)
        async with self._database.connection() as db:
            secrets = await self._credentials.load(db, host_id)
            pair = await self._key_pairs.of_host(db, host_id)
        return power_parameters(host, secrets, pair, self._certificate_url(host.name))

    async def certificate(self, name: str) -> str:
        """The client certificate for the LXD host of that name, as PEM; public. Raises NotFound, WrongState."""
        async with self._database.connection() as db:
            return await self._key_pairs.certificate_named(db, name)

    async def add_tag(self, caller: Caller, host_id: int, tag: str) -> HostView:
        """Idempotent."""
        caller.require_admin()
        async with self._database.transaction() as db:
            await store.add_tag(db, host_id, tag)
        return await self.read(host_id)

    async def remove_tag(self, caller: Caller, host_id: int, tag: str) -> HostView:
        """Idempotent."""
        caller.require_admin()
        async with self._database.transaction() as db:
            await store.remove_tag(db, host_id, tag)
        return await self.read(host_id)

    async def trust(self, caller: Caller, host_id: int, fingerprint: str) -> HostView:
        """Pins the identity that the host presents now.

        Raises InvalidRequest if its fingerprint is not the one that the caller saw.
        """
        caller.require_admin()
        host = await self.read(host_id)
        presented = await self._calls.call(
            host_id, HOST_IDENTIFY, lambda access: HostCall(access=access), deadline_s=IDENTIFY_DEADLINE_S
        )
        if presented.fingerprint != fingerprint:
            raise InvalidRequest.of(
                {"fingerprint": [f"{host.name} now presents {presented.fingerprint}, not {fingerprint}."]}
            )
        async with self._database.transaction() as db:
            await accept_identity(db, caller, host, presented)
        await self._try_refresh(caller, host_id)
        return await self.read(host_id)

    async def guests(self) -> tuple[GuestView, ...]:
        """All guests of all hosts, by id."""
        async with self._database.connection() as db:
            return await view_store.list_guests(db)

    async def guest(self, guest_id: int) -> GuestView:
        """Raises NotFound."""
        async with self._database.connection() as db:
            found = await view_store.list_guests(db, guest_id)
        if not found:
            raise NotFound("No VirtualMachine matches the given query.")
        return found[0]

    async def _try_refresh(self, caller: Caller, host_id: int) -> None:
        """Refreshes the host. A failure is stored with the host and not raised."""
        operation = await self.start_refresh(caller, host_id)
        try:
            outcome(await self._operations.wait(operation.id, timeout_s=FIRST_REFRESH_WAIT_S))
        except OperationPending:
            log.info("first_refresh_pending", host=host_id, operation=operation.id)
        except InnkeeperError as error:
            log.info("host_not_refreshed", host=host_id, code=error.code, reason=error.message)

    def _new_address(self, change: HostChange, before: HostView) -> str | None:
        if change.address is None:
            return None
        parsed = parse_host_address(before.driver, change.address, simulated_allowed=self._simulated_allowed)
        return parsed.normalised if parsed.normalised != before.address else None
