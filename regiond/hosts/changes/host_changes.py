"""Adds hosts, and changes them on request of an administrator."""

from __future__ import annotations

from attrs import field, frozen

from common.addresses.simulated import SimulatedAddress
from common.errors import InvalidRequest
from common.values import DriverType
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.hosts import store
from regiond.hosts.address import identity_store
from regiond.hosts.address.address_change import (
    VERIFY_DEADLINE_S,
    VerifiedMove,
    known_server,
    lock_for_change,
    lock_without_machines,
    pin_if_new,
    verify_same_server,
)
from regiond.hosts.address.host_address import Address, parse_host_address
from regiond.hosts.changes.default_network import check_default_network
from regiond.hosts.host_names import check_host_name
from regiond.hosts.maintenance.changes import begin_maintenance
from regiond.hosts.model import HostChange, HostView, NewHost, check_change, with_console_tag
from regiond.hosts.trust.first_contact import read_fingerprint
from regiond.hosts.trust.host_credentials import HostCredentials, PreparedCredentials
from regiond.hosts.trust.trust_instructions import accept_command
from regiond.racks.calls.address_calls import AddressCalls
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller
from regiond.requests.identifiers import new_host_system_id, new_hostname, numbered

DEFAULT_PROJECT = "default"


@frozen(kw_only=True)
class PreparedHost:
    """A checked new host with its credentials, not stored yet. It gets the first of `names` that is free."""

    new: NewHost
    names: tuple[str, ...]
    address: Address
    zone_id: int
    pool_id: int
    expected: str | None  # fingerprint
    credentials: PreparedCredentials = field(repr=False)


class HostChanges:
    def __init__(
        self,
        database: Database,
        groups: Groups,
        credentials: Credentials,
        calls: HostCalls,
        address_calls: AddressCalls,
        key_pairs: KeyPairs,
        *,
        simulated_allowed: bool,
    ) -> None:
        self._database = database
        self._groups = groups
        self._calls = calls
        self._address_calls = address_calls
        self._credentials = HostCredentials(database, credentials, key_pairs)
        self._simulated_allowed = simulated_allowed

    async def create(self, caller: Caller, new: NewHost) -> int:
        """Returns the new host's id. Raises InvalidRequest by field."""
        prepared = await self.prepare(new)
        async with self._database.transaction() as db:
            host_id, _ = await self.insert(db, prepared, caller=caller)
        return host_id

    async def prepare(self, new: NewHost) -> PreparedHost:
        """Checks the host and generates its credentials. Raises InvalidRequest by field."""
        if new.name is not None:
            check_host_name(new.name)
        address = self._parsed(new.driver, new.address)
        zone_id = await self._groups.requested_zone_id(new.zone) or 1
        pool_id = await self._groups.requested_pool_id(new.pool) or 0
        names = (new.name, *(new.on_machine.other_names if new.on_machine else ())) if new.name else _generated_names()
        expected = read_fingerprint(new.fingerprint, new.driver, has_identity=address.has_identity)
        credentials = await self._credentials.prepare(new, names[0], address)
        return PreparedHost(
            new=new, names=names, address=address, zone_id=zone_id, pool_id=pool_id, expected=expected,
            credentials=credentials,
        )  # fmt: skip

    async def insert(self, db: Db, prepared: PreparedHost, *, caller: Caller | None) -> tuple[int, str]:
        """Adds the host in the caller's transaction; returns its id and name.

        Raises InvalidRequest if a host with its address and project exists, or if its names are taken.
        """
        new, address, machine = prepared.new, prepared.address, prepared.new.on_machine
        project = new.project or (DEFAULT_PROJECT if new.driver is DriverType.LXD else "")
        await _check_simulated(db, new.driver, address.normalised)
        host_id, name = await store.insert(
            db, names=prepared.names, driver=new.driver, address=address.normalised, project=project,
            zone_id=prepared.zone_id, pool_id=prepared.pool_id, tags=with_console_tag(new.tags or ()),
            system_id=new_host_system_id(), public_key=prepared.credentials.public_key,
            machine_id=None if machine is None else machine.machine_id, settings=new.settings(),
        )  # fmt: skip
        if prepared.expected is not None or new.trust_on_first_use:
            await identity_store.expect_identity(db, host_id, prepared.expected, new.trust_on_first_use)
        await self._credentials.store(db, host_id, address, prepared.credentials, new.driver)
        await Events.record(db, "host_added", f"{name} was added", caller=caller, host_id=host_id)
        if new.maintenance is not None and caller is not None:
            await begin_maintenance(db, caller, [host_id], new.maintenance, holder=new.maintenance_holder)
        return host_id, name

    async def update(
        self, caller: Caller, before: HostView, change: HostChange, *, verify_s: float = VERIFY_DEADLINE_S
    ) -> None:
        """Changes the given fields; a new address is checked first, for `verify_s` at most. Idempotent.

        Raises InvalidRequest by field.
        """
        check_change(change, before)
        if change.name not in (None, before.name):
            check_host_name(change.name)
        address = self._new_address(change, before)
        zone_id = await self._groups.requested_zone_id(change.zone)
        pool_id = await self._groups.requested_pool_id(change.pool)
        moved = await self._verified_move(before, change, verify_s)
        expected = self._expected(change, before, same_server=moved is not None or address is None)
        # The same server keeps its trust: only another server is a first contact again.
        contact = None if moved is not None else address
        prepared = await self._credentials.prepare_change(change, before, contact)

        async def write(db: Db) -> None:
            if moved is not None:
                await lock_for_change(db, before, moved.known)
                await pin_if_new(db, before.id, moved.known, moved.presented)
            elif address is not None:
                await lock_without_machines(db, before)
            if address is not None:
                await _check_simulated(db, before.driver, address, host_id=before.id)
            storage_pool_id = await store.storage_pool_id(db, before.id, change.default_storage_pool)
            await check_default_network(db, before.id, change.default_network)
            await store.update(
                db, before.id, name=change.name, address=address, zone_id=zone_id, pool_id=pool_id,
                tags=None if change.tags is None else with_console_tag(change.tags),
                default_storage_pool_id=storage_pool_id, settings=change.settings(),
            )  # fmt: skip
            if contact is not None or (expected is not None and expected != before.pinned_fingerprint):
                await identity_store.unpin(db, before.id)
            if expected is not None or change.trust_on_first_use is not None:
                await identity_store.expect_identity(db, before.id, expected, change.trust_on_first_use)
            await self._credentials.store_change(db, before, prepared, contact)
            await Events.record(db, "host_changed", f"{before.name} was changed", caller=caller, host_id=before.id)
            if address is not None:
                message = f"The address of {before.name} was changed from {before.address} to {address}"
                await Events.record(db, "host_address_changed", message, caller=caller, host_id=before.id)

        await self._database.in_transaction(write)  # a new zone locks the machines, as many others do
        if address is not None:
            await self._calls.disconnect(before.id)  # every rack connects again, to the new address

    async def _verified_move(self, before: HostView, change: HostChange, verify_s: float) -> VerifiedMove | None:
        """Returns the checked move; None if the address stays, or if a host without machines may change its server."""
        if self._new_address(change, before) is None or change.address is None:
            return None
        async with self._database.connection() as db:
            known = await known_server(db, before.id)
        if known is None or not known.has_machines:
            return None
        address = self._parsed(before.driver, change.address)
        presented = await verify_same_server(self._address_calls, before, known, address, deadline_s=verify_s)
        return VerifiedMove(known=known, presented=presented)

    def _expected(self, change: HostChange, before: HostView, *, same_server: bool) -> str | None:
        """Returns the fingerprint that the host must present. Raises InvalidRequest if its server has another one."""
        address = self._parsed(before.driver, before.address if change.address is None else change.address)
        expected = read_fingerprint(change.fingerprint, before.driver, has_identity=address.has_identity)
        pinned = before.pinned_fingerprint
        if expected is None or pinned in {None, expected} or before.total is None or not same_server:
            return expected
        raise InvalidRequest.of(
            {
                "fingerprint": [
                    f"{pinned} is pinned for {before.name}, not {expected}. If the server's key or certificate was "
                    f"replaced, run: {accept_command(before.id, expected)}"
                ]
            }
        )

    def _new_address(self, change: HostChange, before: HostView) -> str | None:
        if change.address is None:
            return None
        parsed = self._parsed(before.driver, change.address)
        return parsed.normalised if parsed.normalised != before.address else None

    def _parsed(self, driver: DriverType, address: str) -> Address:
        return parse_host_address(driver, address, simulated_allowed=self._simulated_allowed)


async def _check_simulated(db: Db, driver: DriverType, address: str, *, host_id: int | None = None) -> None:
    """Raises InvalidRequest if the simulated server with that name is another host, unless the address shares it."""
    if driver is not DriverType.SIMULATED:
        return
    wanted = SimulatedAddress.parse(address)
    if not wanted.shared:
        await store.require_no_host_of(db, wanted.name, host_id)


def _generated_names() -> tuple[str, ...]:
    """Returns a generated name, and others that are used if it is taken."""
    name = new_hostname()
    return (name, *(numbered(name) for _ in range(9)))
