"""Compose: choose the host, claim, write the intent; all in one transaction, before anything happens on a host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from attrs import asdict, evolve

from common.errors import InvalidRequest, NotFound, OutOfCapacity
from common.values import GuestSpec
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.groups.service import NO_CHOICE, Groups
from regiond.hosts.model import HostView
from regiond.hosts.service import Hosts
from regiond.ledger import store as ledger
from regiond.machines import store
from regiond.machines.asked_hosts import host_filter
from regiond.machines.candidates import choose
from regiond.machines.model import AskedHosts, ComposeRequest
from regiond.machines.spec import guest_spec, offer_of
from regiond.machines.steps import MAX_FAILURES, request_of
from regiond.names import check_hostname, new_hostname, new_mac_address, new_system_id, numbered
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Operations, request_hash
from regiond.placement.model import Placement, Verdict, Wish
from regiond.placement.place import Strategy, place
from regiond.placement.storage_text import parse_storage
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

MIN_MEMORY_MIB = 1024  # clients know this bound
PLACE_TRIES = 5  # how often a lost race is run again with fresh numbers
NAME_TRIES = 8
COMPOSE_NAMED = 100  # hosts in the explanation kept with each operation; of more, most are counted only
DRY_NAMED = 1000
ANYWHERE = AskedHosts()


class Composer:
    def __init__(
        self,
        database: Database,
        operations: Operations,
        hosts: Hosts,
        groups: Groups,
        calls: HostCalls,
        *,
        installation_id: UUID,
        strategy: Strategy,
    ) -> None:
        self._database = database
        self._operations = operations
        self._hosts = hosts
        self._groups = groups
        self._calls = calls
        self._installation_id = installation_id
        self._strategy: Strategy = strategy

    async def start_compose(
        self,
        caller: Caller,
        request: ComposeRequest,
        *,
        idempotency_key: str | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """The committed intent: host chosen, claims made, machine `composing`, operation queued.

        Raises InvalidRequest by field, NotFound for the host, OutOfCapacity with what each host lacked, and with
        `need_rack` RackUnreachable when no connected rack reaches the host; then nothing was written.
        """
        caller.require_admin()
        asked = asdict(request)

        async def open_() -> int:
            return await self._open(caller, request, idempotency_key, asked, need_rack=need_rack)

        return await self._operations.once(caller, idempotency_key, asked, open_)

    async def dry_run(
        self, request: ComposeRequest, asked: AskedHosts = ANYWHERE, *, strategy: Strategy | None = None
    ) -> Placement:
        """Where the machine would go, and why not elsewhere. Nothing is claimed or written, and no host is asked.

        Raises InvalidRequest by field, and NotFound for `request.host_id`.
        """
        hosts = await host_filter(asked, self._hosts, self._groups)
        wish = evolve(_wish(request), hosts=hosts, cpu_speed_mhz=asked.cpu_speed_mhz)
        placement, _ = await self._place(request, wish, need_rack=False, named=DRY_NAMED, strategy=strategy)
        return placement

    async def _place(
        self,
        request: ComposeRequest,
        wish: Wish,
        *,
        need_rack: bool,
        named: int,
        strategy: Strategy | None = None,
    ) -> tuple[Placement, dict[int, HostView]]:
        """The hosts that were read whole for it come along."""
        strategy = strategy or self._strategy
        if request.host_id is None:
            async with self._database.connection() as db:
                return await choose(db, wish, self._calls.racks, strategy=strategy, named=named), {}
        host = await self._hosts.read(request.host_id)
        _check_bounds(request, host)
        if need_rack:
            await self._calls.require(host.id)
        return place(wish, [offer_of(host, reachable=True)], strategy=strategy), {host.id: host}

    async def _open(
        self, caller: Caller, request: ComposeRequest, key: str | None, asked: dict[str, object], *, need_rack: bool
    ) -> int:
        zone_id, pool_id = await self._zone_id(request.zone), await self._groups.asked_pool_id(request.pool)
        hostname = check_hostname(request.hostname) if request.hostname else None
        wish = _wish(request)
        if hostname is not None:
            await self._refuse_taken(hostname)
        for _ in range(PLACE_TRIES):
            placement, known = await self._place(request, wish, need_rack=need_rack, named=COMPOSE_NAMED)
            if placement.chosen is None:
                raise _no_room(placement, named=request.host_id is not None)
            for verdict in placement.order:
                host = known.get(verdict.host_id) or await self._still_there(verdict.host_id)
                if host is None:
                    continue
                commit = _Commit(self, caller, request, wish, placement, verdict, host)
                made = await commit.go(hostname, zone_id, host.pool.id if pool_id is None else pool_id, key, asked)
                if made is not None:
                    return made
        raise OutOfCapacity("Other requests took the room first, again and again; try once more.")

    async def _still_there(self, host_id: int) -> HostView | None:
        try:
            return await self._hosts.read(host_id)
        except NotFound:
            return None  # it was removed in this very moment

    async def _refuse_taken(self, hostname: str) -> None:
        async with self._database.connection() as db:
            if await store.hostname_taken(db, hostname):
                raise _taken(hostname)

    async def _zone_id(self, zone: str | None) -> int:
        if zone is None:
            return 1
        for known in await self._groups.zones():
            if zone in (str(known.id), known.name):
                return known.id
        raise InvalidRequest.of({"zone": [NO_CHOICE]})

    @property
    def database(self) -> Database:
        return self._database

    @property
    def installation_id(self) -> UUID:
        return self._installation_id


class _Commit:
    """One try to claim on one host. None when the race was lost: nothing was written, place again."""

    def __init__(
        self,
        composer: Composer,
        caller: Caller,
        request: ComposeRequest,
        wish: Wish,
        placement: Placement,
        verdict: Verdict,
        host: HostView,
    ) -> None:
        self._composer = composer
        self._caller = caller
        self._request = request
        self._wish = wish
        self._placement = placement
        self._verdict = verdict
        self._host = host

    async def go(
        self, hostname: str | None, zone_id: int, pool_id: int, key: str | None, asked: dict[str, object]
    ) -> int | None:
        for number in range(NAME_TRIES):
            name = hostname or (new_hostname() if number < 2 else numbered(new_hostname()))
            spec = self._spec(name)
            try:
                async with self._composer.database.transaction() as db:
                    made = await self._write(db, spec, zone_id, pool_id)
                    if key is not None:
                        await operation_store.keep_key(db, self._caller.account_id, key, request_hash(asked), made)
                    return made
            except OutOfCapacity:
                return None
            except store.Taken as taken:
                if hostname is not None and "hostname" in taken.constraint:
                    raise _taken(hostname) from taken
        raise OutOfCapacity("No free name was found for the machine; give it a hostname.")

    def _spec(self, hostname: str) -> GuestSpec:
        return guest_spec(
            self._wish,
            self._verdict,
            self._host,
            hostname=hostname,
            installation_id=self._composer.installation_id,
            machine_uuid=uuid4(),
            new_mac_address=new_mac_address,
        )

    async def _write(self, db: Db, spec: GuestSpec, zone_id: int, pool_id: int) -> int:
        system_id = new_system_id()
        machine_id = await store.insert(
            db, spec, system_id=system_id, host_id=self._host.id, pool_id=pool_id, zone_id=zone_id,
            tags=self._host.tags, storage_pool_ids=self._verdict.storage_pool_ids,
        )  # fmt: skip
        await ledger.claim(
            db, host_id=self._host.id, machine_id=machine_id, cores=spec.cores, memory_mib=spec.memory_mib,
            storage_bytes=_bytes_by_pool(spec, self._verdict.storage_pool_ids),
        )  # fmt: skip
        return await operation_store.insert(
            db, OperationKind.COMPOSE, host_id=self._host.id, host_name=self._host.name, machine_id=machine_id,
            system_id=system_id, hostname=spec.name, account_id=self._caller.account_id,
            request=request_of(spec, power_on=self._request.power_on),
            explanation=self._placement.as_explanation(self._verdict), max_failures=MAX_FAILURES,
        )  # fmt: skip


def _wish(request: ComposeRequest) -> Wish:
    problems = {}
    if request.cores < 1:
        problems["cores"] = ["Ensure this value is greater than or equal to 1."]
    if request.memory_mib < MIN_MEMORY_MIB:
        problems["memory"] = [f"Ensure this value is greater than or equal to {MIN_MEMORY_MIB}."]
    if problems:
        raise InvalidRequest.of(problems)
    return Wish(
        cores=request.cores,
        memory_mib=request.memory_mib,
        disks=parse_storage(request.storage),
        architecture=request.architecture,
        host_id=request.host_id,
    )


def _check_bounds(request: ComposeRequest, host: HostView) -> None:
    """No machine is larger than its host, whatever the ratios: it could never run there."""
    if host.total is None:
        raise InvalidRequest(
            f"{host.name} cannot take machines before its first good refresh"
            + (f": {host.error_message}" if host.error_message else ".")
        )
    problems = {}
    if request.cores > host.total.cores:
        problems["cores"] = [f"Ensure this value is less than or equal to {host.total.cores}."]
    if request.memory_mib > host.total.memory_mib:
        problems["memory"] = [f"Ensure this value is less than or equal to {host.total.memory_mib}."]
    if request.architecture is not None and request.architecture != host.architecture:
        message = f"Select a valid choice. {request.architecture} is not one of the available choices."
        problems["architecture"] = [message]
    if problems:
        raise InvalidRequest.of(problems)


def _no_room(placement: Placement, *, named: bool) -> OutOfCapacity:
    lacks = [f"{verdict.host_name}: {'; '.join(verdict.reasons)}" for verdict in placement.refused]
    lacks += [f"{hosts} more: {reason}" for reason, hosts in placement.left_out.items()]
    what = "Unable to compose a machine on this host" if named else "No host can take the machine"
    return OutOfCapacity(f"{what}. {' | '.join(lacks) or 'There is no VM host.'}", placement=placement.as_explanation())


def _bytes_by_pool(spec: GuestSpec, storage_pool_ids: Sequence[int]) -> dict[int, int]:
    held: dict[int, int] = {}
    for disk, pool_id in zip(spec.disks, storage_pool_ids, strict=True):
        held[pool_id] = held.get(pool_id, 0) + disk.size_bytes
    return held


def _taken(hostname: str) -> InvalidRequest:
    return InvalidRequest.of({"hostname": [f'Node with hostname "{hostname}" already exists']})
