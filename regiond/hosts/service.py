"""What can be done with hosts: add, look, change, refresh, trust, remove. Others import only this module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from attrs import evolve

from common.errors import Busy, InnkeeperError, InvalidRequest, NotFound, OperationPending
from common.rpc.commands import HOST_IDENTIFY, HOST_PROJECTS, HostCall
from common.values import DriverType, Guest, HostAccess, PowerState, Project
from regiond.accounts.model import Caller
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.field_words import no_choice
from regiond.groups.service import Groups
from regiond.hosts import addresses, intake_store, store, view_store
from regiond.hosts.credentialing import Credentialing
from regiond.hosts.model import GuestView, HostChange, HostStanding, HostView, NewHost, check_reserve
from regiond.hosts.numa import NodeView, view_of
from regiond.hosts.parameters import parameters_of
from regiond.hosts.refresh import IDENTIFY_DEADLINE_S
from regiond.hosts.rotating import open_rotation
from regiond.names import new_hostname, new_system_id
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Operations, outcome
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PROJECTS_DEADLINE_S = 30.0
FIRST_REFRESH_WAIT_S = 50.0  # clients give up on adding a host after 60
DEFAULT_PROJECT = "default"
CONSOLE_TAG = "pod-console-logging"
REMOVE_MAX_FAILURES = 200


async def record_guest(db: Db, host_id: int, guest: Guest, machine_id: int, power: PowerState) -> None:
    """Keep the guest of a machine as it was made, inside the caller's transaction."""
    await intake_store.record_guest(db, host_id, evolve(guest, power=power), machine_id)


class Hosts:
    def __init__(
        self,
        database: Database,
        operations: Operations,
        groups: Groups,
        credentials: Credentials,
        calls: HostCalls,
        key_pairs: KeyPairs,
        *,
        installation_id: UUID,
        simulated_allowed: bool,
        certificate_url: Callable[[str], str],
    ) -> None:
        self._database = database
        self._operations = operations
        self._groups = groups
        self._credentials = credentials
        self._calls = calls
        self._key_pairs = key_pairs
        self._credentialing = Credentialing(database, credentials, key_pairs)
        self._installation_id = installation_id
        self._simulated_allowed = simulated_allowed
        self._certificate_url = certificate_url

    async def list(self) -> tuple[HostView, ...]:
        """By id."""
        async with self._database.connection() as db:
            return await view_store.list_hosts(db)

    async def standings(self) -> tuple[HostStanding, ...]:
        """Of all hosts, by id: for those who ask every few seconds."""
        async with self._database.connection() as db:
            return await view_store.standings(db)

    async def read(self, host_id: int) -> HostView:
        """Raises NotFound."""
        async with self._database.connection() as db:
            return await view_store.read(db, host_id)

    async def ids_of(self, asked: Iterable[str]) -> Mapping[str, frozenset[int]]:
        """The hosts that each id or name means; names are not unique. Unknown ones mean none."""
        async with self._database.connection() as db:
            return await view_store.ids_of(db, asked)

    async def create(self, caller: Caller, new: NewHost) -> HostView:
        """Add a host and look at it once. Answers also when it cannot be reached: then its error says why."""
        caller.require_admin()
        address = addresses.parse(new.driver, new.address, simulated_allowed=self._simulated_allowed)
        zone_id = await self._groups.asked_zone_id(new.zone) or 1
        pool_id = await self._groups.asked_pool_id(new.pool) or 0
        name = new.name or new_hostname()
        prepared = await self._credentialing.prepare(new, name, address)
        project = new.project or (DEFAULT_PROJECT if new.driver is DriverType.LXD else "")
        async with self._database.transaction() as db:
            host_id = await store.insert(
                db, name=name, driver=new.driver, address=address.normalised, project=project, zone_id=zone_id,
                pool_id=pool_id, tags=_with_console_tag(new.tags), cpu_over_commit_ratio=new.cpu_over_commit_ratio,
                memory_over_commit_ratio=new.memory_over_commit_ratio, reserved_cores=new.reserved_cores,
                reserved_memory_mib=new.reserved_memory_mib, default_macvlan_mode=new.default_macvlan_mode,
                system_id=new_system_id(), public_key=prepared.public_key,
            )  # fmt: skip
            await self._credentialing.keep(db, host_id, address, prepared, new.driver)
            await Events.record(db, "host_added", f"{name} was added", caller=caller, host_id=host_id)
        await self._refresh_quietly(caller, host_id)
        return await self.read(host_id)

    async def update(self, caller: Caller, host_id: int, change: HostChange) -> HostView:
        """Change what is given and look at the host again. Repeating values that are there is no error."""
        caller.require_admin()
        before = await self.read(host_id)
        if change.driver is not None and change.driver is not before.driver:
            raise InvalidRequest.of({"type": [_TYPE_FIXED]})
        if change.project is not None and change.project != before.project:
            raise InvalidRequest.of({"project": [_PROJECT_FIXED]})
        check_reserve(change, before)
        address = None
        if change.address is not None:
            parsed = addresses.parse(before.driver, change.address, simulated_allowed=self._simulated_allowed)
            address = parsed.normalised if parsed.normalised != before.address else None
        zone_id, pool_id = await self._groups.asked_zone_id(change.zone), await self._groups.asked_pool_id(change.pool)
        prepared = await self._credentialing.prepare_change(change, before, address)
        async with self._database.transaction() as db:
            storage_pool_id = await self._storage_pool_id(db, host_id, change.default_storage_pool)
            await store.update(
                db, host_id, name=change.name, address=address, zone_id=zone_id, pool_id=pool_id,
                tags=None if change.tags is None else _with_console_tag(change.tags),
                cpu_over_commit_ratio=change.cpu_over_commit_ratio,
                memory_over_commit_ratio=change.memory_over_commit_ratio, reserved_cores=change.reserved_cores,
                reserved_memory_mib=change.reserved_memory_mib, default_storage_pool_id=storage_pool_id,
                default_macvlan_mode=change.default_macvlan_mode,
            )  # fmt: skip
            if address is not None:
                await store.unpin(db, host_id)  # another place proves itself anew
            await self._credentialing.keep_change(db, before, prepared, address)
            await Events.record(db, "host_changed", f"{before.name} was changed", caller=caller, host_id=host_id)
        await self._refresh_quietly(caller, host_id)
        return await self.read(host_id)

    async def start_refresh(self, caller: Caller, host_id: int) -> Operation:
        """Open a refresh, or join the one under way."""
        caller.require_admin()
        host = await self.read(host_id)
        async with self._database.transaction() as db:
            active = await operation_store.active(db, OperationKind.REFRESH, host_id=host_id)
            if active is not None:
                return active
            try:
                operation_id = await operation_store.insert(
                    db, OperationKind.REFRESH, host_id=host_id, host_name=host.name, account_id=caller.account_id,
                    request={}, max_failures=1,
                )  # fmt: skip
            except Busy:
                active = await operation_store.active(db, OperationKind.REFRESH, host_id=host_id)
                if active is None:
                    raise
                return active
        return await self._operations.read(operation_id)

    async def start_remove(self, caller: Caller, host_id: int, *, decompose: bool) -> Operation:
        """Open the removal: nothing is composed there any more; with `decompose` our machines are destroyed first.

        Asked again it joins the one under way, and raises Busy when that one does otherwise with the machines.
        """
        caller.require_admin()
        host = await self.read(host_id)
        async with self._database.transaction() as db:
            await store.set_removing(db, host_id)  # two who ask at once are here in turn
            active = await operation_store.active(db, OperationKind.REMOVE_HOST, host_id=host_id)
            if active is not None and active.request["decompose"] == decompose:
                return active
            if active is not None:
                kept = "with its machines" if active.request["decompose"] else "without its machines"
                raise Busy(f"{host.name} is being removed {kept} already (operation {active.id}).", operation=active.id)
            operation_id = await operation_store.insert(
                db, OperationKind.REMOVE_HOST, host_id=host_id, host_name=host.name, account_id=caller.account_id,
                request={"decompose": decompose}, max_failures=REMOVE_MAX_FAILURES,
            )  # fmt: skip
            await Events.record(
                db, "host_removal_asked", f"{host.name} is to be removed", caller=caller, host_id=host_id
            )
        return await self._operations.read(operation_id)

    async def start_rotate(self, caller: Caller, host_id: int, *, password: str | None = None) -> Operation:
        """Open the rotation of the server's key pair, or join the one under way. `password`: a token for the new one.

        Raises Unsupported, WrongState.
        """
        caller.require_admin()
        host = await self.read(host_id)
        async with self._database.transaction() as db:
            operation_id = await open_rotation(db, caller, host, self._credentials, password)
        return await self._operations.read(operation_id)

    async def projects(self, caller: Caller, host_id: int) -> tuple[Project, ...]:
        """The projects of the server as it says now; empty where there is no such thing."""
        caller.require_admin()
        await self.read(host_id)
        found = await self._calls.call(
            host_id, HOST_PROJECTS, lambda access: HostCall(access=access), deadline_s=PROJECTS_DEADLINE_S
        )
        return found.projects

    async def numa(self, host_id: int) -> tuple[NodeView, ...]:
        """The NUMA nodes of the server by id; empty until the first good look at it. Raises NotFound."""
        async with self._database.connection() as db:
            host = await view_store.read(db, host_id)
            held = await view_store.holdings(db, host_id)
        return view_of(host.numa_nodes, host.network_cards, held)

    async def parameters(self, caller: Caller, host_id: int) -> dict[str, str]:
        """How the host is reached, every value a text. Secrets that we made are never among them."""
        caller.require_admin()
        host = await self.read(host_id)
        async with self._database.connection() as db:
            secrets = await self._credentials.load(db, host_id)
            pair = await self._key_pairs.of_host(db, host_id)
        return parameters_of(host, secrets, pair, self._certificate_url(host.name))

    async def certificate(self, name: str) -> str:
        """The certificate of the LXD host of that name, as PEM: for anyone. Raises NotFound, WrongState."""
        async with self._database.connection() as db:
            return await self._key_pairs.certificate_named(db, name)

    async def add_tag(self, caller: Caller, host_id: int, tag: str) -> HostView:
        caller.require_admin()
        host = await self.read(host_id)
        if tag not in host.tags:
            async with self._database.transaction() as db:
                await store.add_tag(db, host_id, tag)
        return await self.read(host_id)

    async def remove_tag(self, caller: Caller, host_id: int, tag: str) -> HostView:
        """Harmless when the tag is not there."""
        caller.require_admin()
        host = await self.read(host_id)
        if tag in host.tags:
            async with self._database.transaction() as db:
                await store.remove_tag(db, host_id, tag)
        return await self.read(host_id)

    async def trust(self, caller: Caller, host_id: int, fingerprint: str) -> HostView:
        """Pin the identity that the host shows now, if it is the one the caller was shown."""
        caller.require_admin()
        host = await self.read(host_id)
        found = await self._calls.call(
            host_id, HOST_IDENTIFY, lambda access: HostCall(access=access), deadline_s=IDENTIFY_DEADLINE_S
        )
        if found.fingerprint != fingerprint:
            raise InvalidRequest.of(
                {"fingerprint": [f"{host.name} shows {found.fingerprint} now; trust that one if it is right."]}
            )
        async with self._database.transaction() as db:
            if host.driver is DriverType.LXD and host.pinned_fingerprint is not None:
                await store.carry_identity(db, host_id, host.pinned_fingerprint, found.fingerprint)
            await store.pin_shared(db, host_id, found.material, found.fingerprint)
            message = (
                f"{host.name}: {found.kind} {found.fingerprint} was accepted in place of {host.pinned_fingerprint}"
            )
            await Events.record(db, "host_identity_accepted", message, caller=caller, host_id=host_id)
        await self._refresh_quietly(caller, host_id)
        return await self.read(host_id)

    async def guests(self) -> tuple[GuestView, ...]:
        async with self._database.connection() as db:
            return await view_store.list_guests(db)

    async def guest(self, guest_id: int) -> GuestView:
        async with self._database.connection() as db:
            found = await view_store.list_guests(db, guest_id)
        if not found:
            raise NotFound("No VirtualMachine matches the given query.")
        return found[0]

    async def access(self, host_id: int) -> HostAccess:
        """How to speak to the host, its secrets included: for a call that is about to be made, never kept."""
        async with self._database.connection() as db:
            link = await store.link(db, host_id)
            secrets: Mapping[str, str]
            if link.driver is DriverType.LXD:
                pair = await self._key_pairs.of_host(db, host_id)
                secrets = pair.credentials if pair is not None else {}
            else:
                secrets = await self._credentials.load(db, host_id)
        return HostAccess(
            host_id=host_id,
            driver=link.driver,
            address=link.address,
            project=link.project,
            member=link.member,
            installation_id=self._installation_id,
            credentials=secrets,
            pinned=link.pinned,
        )

    async def _refresh_quietly(self, caller: Caller, host_id: int) -> None:
        """A refresh whose failure is kept on the host and not raised: adding and changing answer all the same."""
        operation = await self.start_refresh(caller, host_id)
        try:
            outcome(await self._operations.wait(operation.id, timeout_s=FIRST_REFRESH_WAIT_S))
        except OperationPending:
            log.info("first_refresh_goes_on", host=host_id, operation=operation.id)
        except InnkeeperError as error:
            log.info("host_not_refreshed", host=host_id, code=error.code, because=error.message)

    @staticmethod
    async def _storage_pool_id(db: Db, host_id: int, key_or_name: str | None) -> int | None:
        if key_or_name is None:
            return None
        found = await store.storage_pool_id(db, host_id, key_or_name)
        if found is None:
            raise InvalidRequest.of({"default_storage_pool": [no_choice(key_or_name)]})
        return found


def _with_console_tag(tags: tuple[str, ...]) -> tuple[str, ...]:
    return (*dict.fromkeys(tag for tag in tags if tag != CONSOLE_TAG), CONSOLE_TAG)


_PROJECT_FIXED = "A host keeps its project. Add another host for the other project: both share the server."
_TYPE_FIXED = "Cannot change the type of a pod. Delete and re-create the pod with a different type."
