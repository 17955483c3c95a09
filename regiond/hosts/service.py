"""Adds, changes, refreshes, trusts and removes hosts: the public functions of `hosts`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import structlog

from common.errors import InnkeeperError, InvalidRequest, OperationPending
from common.rpc.commands.host_commands import HOST_IDENTIFY, HOST_PROJECTS, HostCall
from common.values import Project
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.hosts import store
from regiond.hosts.address import identity_store
from regiond.hosts.address.address_change import VERIFY_DEADLINE_S
from regiond.hosts.changes.host_changes import HostChanges, PreparedHost
from regiond.hosts.discovery.refresh import IDENTIFY_DEADLINE_S
from regiond.hosts.host_probe import require_removable
from regiond.hosts.host_queries import HostQueries
from regiond.hosts.maintenance.changes import begin_maintenance, end_maintenance
from regiond.hosts.model import HostChange, HostView, NewHost
from regiond.hosts.operation_intents import Confirm, open_first_refresh, open_refresh, open_removals
from regiond.hosts.removal_model import CertificateFate, HostRemoval
from regiond.hosts.trust.accepted_identity import accept_identity
from regiond.hosts.trust.host_removal import planned_fate
from regiond.hosts.trust.power_parameters import power_parameters
from regiond.hosts.trust.rotation import open_rotation
from regiond.hosts.views.host_condition import STALE_AFTER
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.operations.service import Operations, outcome
from regiond.racks.calls.access_guard import without_secrets
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FIRST_REFRESH_WAIT_S = 8.0  # some clients end a request after 10 s


class Hosts(HostQueries):
    """The hosts. Methods with a `caller` raise NotAllowed if it is no administrator, NotFound for an unknown host."""

    def __init__(
        self,
        database: Database,
        operations: Operations,
        credentials: Credentials,
        calls: HostCalls,
        key_pairs: KeyPairs,
        changes: HostChanges,
        *,
        certificate_url: Callable[[str], str],
        stale_after: timedelta = STALE_AFTER,
    ) -> None:
        super().__init__(database, stale_after=stale_after)
        self._operations = operations
        self._credentials = credentials
        self._calls = calls
        self._key_pairs = key_pairs
        self._changes = changes
        self._certificate_url = certificate_url

    async def create(self, caller: Caller, new: NewHost, *, wait_s: float = FIRST_REFRESH_WAIT_S) -> HostView:
        """Adds a host and refreshes it once. Succeeds for an unreachable host, which then has an error.

        If the refresh takes longer than `wait_s`, it continues, and this returns what is known.

        Raises InvalidRequest by field, also if a host with this address and project, or with this name, exists.
        """
        caller.require_admin()
        host_id = await self._changes.create(caller, new)
        await self._try_refresh(caller, host_id, wait_s)
        return await self.read(host_id)

    async def prepare(self, new: NewHost) -> PreparedHost:
        """Checks a host that runs on a machine, for `add`. Raises InvalidRequest by field."""
        return await self._changes.prepare(new)

    async def add(self, db: Db, prepared: PreparedHost) -> str:
        """Adds the host and opens its first refresh, in the caller's transaction. Returns its name.

        Raises InvalidRequest if a host with its address exists, or if its names are taken.
        """
        host_id, name = await self._changes.insert(db, prepared, caller=None)
        await open_first_refresh(db, host_id, name)
        return name

    async def update(
        self, caller: Caller, host_id: int, change: HostChange, *, wait_s: float = FIRST_REFRESH_WAIT_S
    ) -> HostView:
        """Changes the given fields and refreshes the host, waiting as `create` does; checks a new address before that.

        Idempotent. Raises InvalidRequest by field.
        """
        caller.require_admin()
        began_s = time.monotonic()
        verify_s = min(VERIFY_DEADLINE_S, max(1.0, wait_s - 1.0))
        await self._changes.update(caller, await self.read(host_id), change, verify_s=verify_s)
        await self._try_refresh(caller, host_id, max(0.1, wait_s - (time.monotonic() - began_s)))
        return await self.read(host_id)

    async def begin_maintenance(self, caller: Caller, host_ids: Iterable[int], reason: str | None) -> None:
        """Begins maintenance, in which the hosts take no new machine.

        Idempotent: a later call changes only the reason, if it has one. A compose that has claimed capacity continues;
        its machine exists when this returns.
        """
        caller.require_admin()
        async with self._database.transaction() as db:
            await begin_maintenance(db, caller, host_ids, reason)

    async def end_maintenance(self, caller: Caller, host_ids: Iterable[int]) -> None:
        """Ends maintenance: the hosts take new machines again. Idempotent."""
        caller.require_admin()
        async with self._database.transaction() as db:
            await end_maintenance(db, caller, host_ids)

    async def start_refresh(
        self, caller: Caller, host_id: int, *, idempotency_key: IdempotencyKey | None = None
    ) -> Operation:
        """Opens a refresh, or returns the open one."""
        caller.require_admin()
        host = await self.read(host_id)

        async def open_() -> int:
            async with self._database.transaction() as db:
                operation_id = await open_refresh(db, caller, host)
                await idempotency_service.tie_key(db, idempotency_key, operation_id)
            return operation_id

        return await self._operations.idempotent(idempotency_key, open_)

    async def start_remove(
        self, caller: Caller, host_id: int, removal: HostRemoval, *,
        idempotency_key: IdempotencyKey | None = None, confirm: Confirm | None = None,
    ) -> Operation:  # fmt: skip
        """Opens the removal, or returns the open one. The removal first deletes the machines that `removal` selects.

        `confirm` reads what that would be in the same transaction, and raises to prevent it.
        Raises Busy if the open one treats the machines differently, and the errors of `check_removal`.
        """

        async def open_() -> int:
            host = await self.check_removal(caller, host_id, removal)
            async with self._database.transaction() as db:
                (operation_id,) = await open_removals(db, caller, [host], removal, confirm)
                await idempotency_service.tie_key(db, idempotency_key, operation_id)
            return operation_id

        return await self._operations.idempotent(idempotency_key, open_)

    async def start_removals(
        self, caller: Caller, host_ids: Sequence[int], removal: HostRemoval, *, confirm: Confirm | None = None
    ) -> tuple[Operation, ...]:
        """Opens the removals of all these hosts, or of none. Like `start_remove` otherwise."""
        hosts = [await self.check_removal(caller, one, removal) for one in host_ids]
        ids = await self._database.in_transaction(  # a refresh of one member locks others in another order
            lambda db: open_removals(db, caller, hosts, removal, confirm)
        )
        return tuple([await self._operations.read(one, caller=None) for one in ids])

    async def check_removal(self, caller: Caller, host_id: int, removal: HostRemoval) -> HostView:
        """Returns the host. Only a dead host is removed by force, and no machine can be deleted on a dead host.

        Raises WrongState for a living host, HostUnreachable for a dead one, RackUnreachable if that cannot be checked.
        """
        caller.require_admin()
        host = await self.read(host_id)
        await require_removable(self._calls, host, removal)
        return host

    async def removal_certificates(
        self, caller: Caller, host_ids: Sequence[int], removal: HostRemoval, *, db: Db | None = None
    ) -> tuple[CertificateFate, ...]:
        """Returns what the removal of these hosts would do with certificates that no other host uses."""
        caller.require_admin()
        async with self._database.joined(db) as joined:
            return await planned_fate(joined, host_ids, removal)

    async def start_rotate(
        self, caller: Caller, host_id: int, *,
        password: str | None = None, idempotency_key: IdempotencyKey | None = None,
    ) -> Operation:  # fmt: skip
        """Opens the rotation of the server's key pair, or returns the open one.

        `password` is a token for the new pair. Raises Unsupported, WrongState.
        """
        caller.require_admin()

        async def open_() -> int:
            host = await self.read(host_id)
            async with self._database.transaction() as db:
                operation_id = await open_rotation(db, caller, host, self._credentials, password)
                await idempotency_service.tie_key(db, idempotency_key, operation_id)
            return operation_id

        return await self._operations.idempotent(idempotency_key, open_)

    async def projects(self, caller: Caller, host_id: int) -> tuple[Project, ...]:
        """Returns the server's projects, read from it now; none with drivers that have no projects."""
        caller.require_admin()
        await self.read(host_id)
        found = await self._calls.call(host_id, HOST_PROJECTS, lambda access: HostCall(access=access))
        return found.projects

    async def parameters(self, caller: Caller, host_id: int) -> dict[str, str]:
        """Returns the connection parameters as text values, without secrets that Innkeeper generated."""
        caller.require_admin()
        host = await self.read(host_id)
        async with self._database.connection() as db:
            secrets = await self._credentials.load(db, host_id)
            pair = await self._key_pairs.of_host(db, host_id)
        return power_parameters(host, secrets, pair, self._certificate_url(host.name))

    async def certificate(self, name: str) -> str:
        """Returns the client certificate for the LXD host of that name, as PEM; public. Raises NotFound."""
        async with self._database.connection() as db:
            return await self._key_pairs.certificate_named(db, name)

    async def add_tag(self, caller: Caller, host_id: int, tag: str) -> HostView:
        """Adds the tag to the host. Idempotent."""
        caller.require_admin()
        async with self._database.transaction() as db:
            await store.add_tag(db, host_id, tag)
        return await self.read(host_id)

    async def remove_tag(self, caller: Caller, host_id: int, tag: str) -> HostView:
        """Removes the tag from the host. Idempotent."""
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
            host_id, HOST_IDENTIFY, lambda access: HostCall(access=without_secrets(access)),
            deadline_s=IDENTIFY_DEADLINE_S,
        )  # fmt: skip
        if presented.fingerprint != fingerprint:
            raise InvalidRequest.of(
                {"fingerprint": [f"{host.name} now presents {presented.fingerprint}, not {fingerprint}."]}
            )
        async with self._database.transaction() as db:
            await accept_identity(db, caller, host, presented)
        await self._try_refresh(caller, host_id)
        return await self.read(host_id)

    async def confirm_server(
        self, caller: Caller, host_id: int, *, identity: str | None = None, same_as: str | None = None
    ) -> HostView:
        """Accepts that the host is the server with that identity, or the server of the host `same_as` (id or name).

        Refreshes the host. Idempotent. Nothing else changes unless the host reports that identity.

        Raises InvalidRequest under `host` if there is no such host, or its server is not known yet.
        """
        caller.require_admin()
        host = await self.read(host_id)
        confirmed = await self.server_of(same_as) if same_as is not None else identity or ""
        async with self._database.transaction() as db:
            await identity_store.confirm_identity(db, host_id, confirmed)
            message = f"{host.name}: confirmed as the server {confirmed}"
            await Events.record(db, "host_server_confirmed", message, caller=caller, host_id=host_id)
        await self._try_refresh(caller, host_id)
        return await self.read(host_id)

    async def _try_refresh(self, caller: Caller, host_id: int, wait_s: float = FIRST_REFRESH_WAIT_S) -> None:
        """Refreshes the host for at most `wait_s`. A failure is stored with the host and not raised."""
        operation = await self.start_refresh(caller, host_id)
        try:
            outcome(await self._operations.wait(operation.id, timeout_s=wait_s))
        except OperationPending:
            log.info("first_refresh_pending", host_id=host_id, operation=operation.id)
        except InnkeeperError as error:
            log.info("host_not_refreshed", host_id=host_id, code=error.code, reason=error.message)
