"""Compose: choose the host and commit to it before anything happens there; the next host when a race is lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from attrs import asdict, evolve

from common.errors import InvalidRequest, OutOfCapacity
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.field_words import no_choice
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.machines import store
from regiond.machines.asked_hosts import host_filter
from regiond.machines.bounds import check_bounds, no_room, not_looked_at
from regiond.machines.candidates import choose, look
from regiond.machines.committing import Commit, Committer, name_taken
from regiond.machines.looking import COMPOSE_NAMED, Found, Looks
from regiond.machines.model import ANYWHERE, AskedHosts, ComposeRequest, Intent
from regiond.machines.under_way import UnderWay
from regiond.machines.wishes import resolved, wish_of
from regiond.names import check_hostname
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Operations
from regiond.placement.model import HostOffer, Placement, Wish
from regiond.placement.place import Strategy, place
from regiond.racks.calls import HostCalls

PLACE_TRIES = 100  # how often a lost race is run again with fresh numbers: each one lost is one that somebody won
DRY_NAMED = 300


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
        self._strategy: Strategy = strategy
        self._under_way = UnderWay()
        self._looks = Looks(database, calls, self._under_way)
        self._committer = Committer(database, installation_id=installation_id)

    async def start_compose(
        self,
        caller: Caller,
        request: ComposeRequest,
        *,
        idempotency_key: str | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """The committed intent: host chosen, claims made, machine `composing`, operation queued.

        Raises InvalidRequest by field, NotFound for the host, OutOfCapacity with what each host lacked, WrongState for
        an address that somebody else has just got, Busy when others keep the host locked for long, and with `need_rack`
        RackUnreachable when no connected rack reaches the host; then nothing is claimed. When no host of all can take
        the machine, an operation that has failed tells why later on.
        """
        caller.require_admin()
        asked = asdict(request)

        async def open_() -> Operation:
            return await self.open(
                caller, Intent(request=request), key=idempotency_key, asked=asked, need_rack=need_rack
            )

        try:
            return await self._operations.once(caller, idempotency_key, asked, open_)
        except OutOfCapacity as refused:
            if request.host_id is None:
                await self.keep_refusal(caller, asked, refused)
            raise

    async def keep_refusal(self, caller: Caller, asked: Mapping[str, object], refused: OutOfCapacity) -> None:
        """An operation that has failed with it before anything began; `refused` then names it in its details."""
        async with self._database.transaction() as db:
            refused.details["operation"] = await operation_store.insert_refused(
                db, OperationKind.COMPOSE, account_id=caller.account_id, request={"asked": dict(asked)},
                explanation=refused.details.get("placement"), code=refused.code, message=refused.message,
            )  # fmt: skip

    async def dry_run(
        self, request: ComposeRequest, asked: AskedHosts = ANYWHERE, *, strategy: Strategy | None = None
    ) -> Placement:
        """Where the machine would go, and why not elsewhere. Nothing is claimed or written, and no host is asked.

        Raises InvalidRequest by field, and NotFound for `request.host_id`.
        """
        wish = await self.wish(request, asked)
        strategy = strategy or await self._strategy_for(request.pool)
        if request.host_id is not None:
            host = await self._looks.host(wish, request.host_id)
            await self._check(wish, host)
            return place(wish, [host])
        async with self._database.connection() as db:
            return await choose(db, wish, self._calls.racks, strategy=strategy, named=DRY_NAMED)

    async def place_again(
        self, intent: Intent, not_on: Collection[int], *, machine_id: int | None
    ) -> tuple[Wish, Placement, Mapping[int, HostOffer]]:
        """Where the machine of an earlier compose would go now, but for some hosts, and the hosts by id. Raises
        InvalidRequest when what it asks for is there no more, or another machine's."""
        wish = await self.wish(intent.request, intent.hosts, machine_id=machine_id)
        wish = evolve(wish, hosts=evolve(wish.hosts, not_host_ids=wish.hosts.not_host_ids | set(not_on)))
        strategy = await self._strategy_for(intent.request.pool)
        async with self._database.connection() as db:
            found = await look(db, wish, self._calls.racks, strategy=strategy, named=COMPOSE_NAMED)
        return wish, found.placements[0], found.hosts

    async def wish(self, request: ComposeRequest, asked: AskedHosts, *, machine_id: int | None = None) -> Wish:
        """What placement is asked for; `machine_id` is there already. Raises InvalidRequest by field."""
        wish = wish_of(request)
        if asked != ANYWHERE:
            hosts = await host_filter(asked, self._hosts, self._groups)
            wish = evolve(wish, hosts=hosts, cpu_speed_mhz=asked.cpu_speed_mhz)
        if not wish.nics:
            return wish
        async with self._database.connection() as db:
            return await resolved(db, wish, machine_id=machine_id)

    async def _strategy_for(self, pool: str | None) -> Strategy:
        """That of the resource pool which the machine will be in, when one is asked for; else the region's own."""
        asked = await self._groups.asked_pool(pool)
        return self._strategy if asked is None else asked.strategy or self._strategy

    async def _found(self, request: ComposeRequest, wish: Wish, strategy: Strategy) -> Found | None:
        """None when others of the same moment may get the room that was seen: look again.

        Raises NotFound for a host that is named, and InvalidRequest for what it can never give.
        """
        if request.host_id is None:
            return await self._looks.at_all(wish, strategy)
        found = await self._looks.at_host(wish, request.host_id)
        if found is not None:
            await self._check(wish, found.hosts[request.host_id])
        return found

    async def _check(self, wish: Wish, host: HostOffer) -> None:
        """Raises InvalidRequest for what the host can never give."""
        if host.cores is None:
            raise not_looked_at(host.name, (await self._hosts.read(host.id)).error_message)
        check_bounds(wish, host)

    async def open(
        self,
        caller: Caller,
        intent: Intent,
        *,
        key: str | None,
        asked: Mapping[str, object],
        need_rack: bool = False,
    ) -> Operation:
        """The committed operation. `asked` is the request that `key` stands for. Raises as `start_compose`, but for
        who may ask, which is for the caller to say."""
        request = intent.request
        zone_id, pool_id = await self._zone_id(request.zone), await self._groups.asked_pool_id(request.pool)
        hostname = check_hostname(request.hostname) if request.hostname else None
        wish, strategy = await self.wish(request, intent.hosts), await self._strategy_for(request.pool)
        if hostname is not None:
            await self._refuse_taken(hostname)
        for _ in range(PLACE_TRIES):
            found = await self._found(request, wish, strategy)
            if found is None:
                continue
            if need_rack and request.host_id is not None and not self.has_racks:
                await self._calls.require(request.host_id)
            if found.placement.chosen is None:
                raise no_room(found.placement, named=request.host_id is not None)
            for verdict in found.placement.order:
                host = found.hosts[verdict.host_id]
                commit = Commit(
                    caller=caller, intent=intent, wish=wish, placement=found.placement, verdict=verdict, host=host,
                    hostname=hostname, zone_id=host.zone_id if intent.in_zone_of_host else zone_id,
                    pool_id=host.pool_id if pool_id is None else pool_id, key=key, asked=asked,
                )  # fmt: skip
                with self._under_way.taking(wish, verdict):
                    made = await self._committer.commit(commit)
                if made is not None:
                    return made
        raise OutOfCapacity("Other requests took the room first, again and again; try once more.")

    async def _refuse_taken(self, hostname: str) -> None:
        async with self._database.connection() as db:
            if await store.taken_hostnames(db, [hostname]):
                raise name_taken(hostname)

    async def _zone_id(self, zone: str | None) -> int:
        if zone is None:
            return 1
        for known in await self._groups.zones():
            if zone in (str(known.id), known.name):
                return known.id
        raise InvalidRequest.of({"zone": [no_choice()]})

    @property
    def has_racks(self) -> bool:
        """Whether a rack is connected to this process; without one no host can be reached."""
        return bool(self._calls.racks)

    @property
    def database(self) -> Database:
        return self._database
