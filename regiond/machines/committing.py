"""The commit of composes on the hosts that were chosen: machines, claims and operations in one transaction."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID
from weakref import WeakValueDictionary

from attrs import evolve, field, frozen

from common.errors import Busy, DatabaseUnavailable, InvalidRequest, OutOfCapacity
from common.values import NicAddress
from common.wire import to_plain
from regiond.accounts.model import Caller
from regiond.db.pool import STATEMENT_DEADLINE_S, Database
from regiond.events.service import Events
from regiond.ledger.counted import claim_counted
from regiond.ledger.taking import lock_hosts, take, write_claims
from regiond.machines import compose_store, life_store, store
from regiond.machines.claiming import ask_of, claim_addresses, counted_of, new_spec, told_addresses
from regiond.machines.compose_store import NewMachine
from regiond.machines.model import Intent
from regiond.machines.requests import MAX_FAILURES, request_of
from regiond.machines.store import Taken
from regiond.machines.together import Together
from regiond.names import new_hostname, new_system_id, numbered
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import request_hash
from regiond.operations.store import NewOperation
from regiond.placement.model import HostOffer, Placement, Verdict, Wish

if TYPE_CHECKING:
    from regiond.db.pool import Db

TRIES = 8
AT_ONCE = 16  # while some are committed, others are looked up and get ready


@frozen(kw_only=True)
class Commit:
    """One compose, and the host that it is to be made on. `asked` is the request that `key` stands for."""

    caller: Caller
    intent: Intent
    wish: Wish
    placement: Placement
    verdict: Verdict
    host: HostOffer
    hostname: str | None
    zone_id: int
    pool_id: int
    key: str | None
    asked: Mapping[str, object]
    told: Mapping[str, NicAddress] = field(factory=dict)  # of the addresses that its cards get


class _Answer(Enum):
    ALONE = "it has to be tried by itself"


class Committer:
    """Composes that are committed at one moment share a transaction, each on its own guarded server.

    One that meets a difficulty never holds up or fails another: it is tried again by itself, which says what is wrong.
    """

    def __init__(self, database: Database, *, installation_id: UUID) -> None:
        self._database = database
        self._installation_id = installation_id
        self._together: Together[Commit, Operation | _Answer | None] = Together(self._all, most=AT_ONCE)
        self._turns: WeakValueDictionary[int | None, asyncio.Lock] = WeakValueDictionary()

    async def commit(self, commit: Commit) -> Operation | None:
        """The committed operation. None when the race was lost: nothing was written, place again.

        Raises InvalidRequest for a host name that is taken, WrongState for an address, Busy while the host is locked.
        """
        told = await told_addresses(self._database, commit.verdict)
        commit = evolve(commit, told=told) if told else commit
        made = await self._together.ask(commit)
        return await self._alone(commit) if isinstance(made, _Answer) else made

    async def _all(self, commits: Sequence[Commit]) -> Sequence[Operation | _Answer | Exception | None]:
        """Halved as long as something goes wrong with one of them, until it is by itself.

        Who has got an operation is told of it, also when the database is lost before the others have theirs.
        """
        answers: list[Operation | _Answer | Exception | None] = []
        parts = [commits]
        while parts:
            part = parts.pop()
            half = len(part) // 2
            try:
                answers += await self._database.in_transaction(partial(self._write, commits=part, wait=False))
            except DatabaseUnavailable as error:
                if not answers:
                    raise
                return [*answers, *[error] * (len(commits) - len(answers))]
            except Exception:  # noqa: BLE001  # it comes again, and is raised, where that one is by itself
                if half:
                    parts += [part[half:], part[:half]]
                else:
                    answers.append(_Answer.ALONE)
        return answers

    async def _alone(self, commit: Commit) -> Operation | None:
        """In turn with those that want the same server: each would keep one of the few connections waiting, until
        there is none for anybody else. Raises Busy when the turn does not come."""
        turn = self._turns.setdefault(commit.host.server_id, asyncio.Lock())
        try:
            async with asyncio.timeout(STATEMENT_DEADLINE_S):
                await turn.acquire()
        except TimeoutError:
            raise Busy(
                f"Others have waited for {commit.host.name} for {STATEMENT_DEADLINE_S:g} s, for a look at it to be "
                "taken in or for changes of others to end. Nothing was done; ask again later."
            ) from None
        try:
            return await self._by_itself(commit)
        finally:
            turn.release()

    async def _by_itself(self, commit: Commit) -> Operation | None:
        for _ in range(TRIES):
            try:
                (made,) = await self._database.in_transaction(partial(self._write, commits=[commit], wait=True))
            except OutOfCapacity:
                return None
            except Taken as taken:
                if commit.hostname is not None and "hostname" in taken.constraint:
                    raise name_taken(commit.hostname) from taken
                continue
            return None if isinstance(made, _Answer) else made
        raise OutOfCapacity("No free name was found for the machine; give it a hostname.")

    async def _write(self, db: Db, *, commits: Sequence[Commit], wait: bool) -> Sequence[Operation | _Answer | None]:
        """Each on whose host everything fits. Of the others, those that asked their server with somebody else have to
        be tried alone, and without `wait` those whose host is locked by somebody."""
        locked = await lock_hosts(db, [commit.host.id for commit in commits], wait=wait)
        asks = [ask_of(commit.host.id, commit.wish, commit.verdict) for commit in commits]
        taken = await take(db, [ask for ask in asks if ask.host_id in locked])
        won = [commit for commit in commits if commit.host.id in taken.servers]
        made = iter(await self._write_won(db, won, taken.servers) if won else ())
        asking = Counter(commit.host.server_id for commit in commits)
        return [
            next(made) if commit.host.id in taken.servers else _unmade(commit, locked, asking) for commit in commits
        ]

    async def _write_won(self, db: Db, commits: Sequence[Commit], servers: Mapping[int, int]) -> tuple[Operation, ...]:
        """The rows of each; the totals of all have been taken."""
        named = zip(commits, await _hostnames(db, commits), strict=True)
        new = [self._new_machine(commit, hostname) for commit, hostname in named]
        ids = await compose_store.insert(db, new)
        machine_ids = [ids[one.spec.mark.machine_id] for one in new]
        await write_claims(
            db,
            [
                (servers[commit.host.id], machine_id, ask_of(commit.host.id, commit.wish, commit.verdict))
                for commit, machine_id in zip(commits, machine_ids, strict=True)
            ],
        )
        for commit, machine_id in zip(commits, machine_ids, strict=True):
            await claim_counted(db, servers[commit.host.id], machine_id, counted_of(commit.verdict))
            await claim_addresses(db, machine_id, commit.verdict)
        operations = await operation_store.insert_several(
            db,
            OperationKind.COMPOSE,
            [
                _new_operation(commit, one, machine_id)
                for commit, one, machine_id in zip(commits, new, machine_ids, strict=True)
            ],
        )
        for commit, operation in zip(commits, operations, strict=True):
            await _write_beside(db, commit, operation)
        return operations

    def _new_machine(self, commit: Commit, hostname: str) -> NewMachine:
        spec = new_spec(commit.wish, commit.verdict, commit.host, hostname, self._installation_id, commit.told)
        return NewMachine(
            spec=spec, system_id=new_system_id(), host_id=commit.host.id, pool_id=commit.pool_id,
            zone_id=commit.zone_id, tags=commit.host.tags, storage_pool_ids=commit.verdict.storage_pool_ids,
            nics=commit.verdict.nics,
        )  # fmt: skip


def _unmade(commit: Commit, locked: Collection[int], asking: Mapping[int | None, int]) -> _Answer | None:
    has_lost = commit.host.id in locked and asking[commit.host.server_id] == 1
    return None if has_lost else _Answer.ALONE


async def _hostnames(db: Db, commits: Sequence[Commit]) -> list[str]:
    """One for each: what was asked for, else two words, with a number where somebody has them."""
    wanted = [commit.hostname or new_hostname() for commit in commits]
    used = {*await store.taken_hostnames(db, wanted)}
    found: list[str] = []
    for commit, name in zip(commits, wanted, strict=True):
        found.append(numbered(name) if commit.hostname is None and name in used else name)
        used.add(found[-1])
    return found


def _new_operation(commit: Commit, machine: NewMachine, machine_id: int) -> NewOperation:
    request = commit.intent.request
    kept = {} if request.host_id is not None else {"intent": to_plain(commit.intent)}
    return NewOperation(
        host_id=commit.host.id, host_name=commit.host.name, machine_id=machine_id, system_id=machine.system_id,
        hostname=machine.spec.name, account_id=commit.caller.account_id, username=commit.caller.username,
        request=request_of(machine.spec, power_on=request.power_on, **kept),
        explanation=commit.placement.as_explanation(commit.verdict), max_failures=MAX_FAILURES,
    )  # fmt: skip


async def _write_beside(db: Db, commit: Commit, operation: Operation) -> None:
    """What only some have: the key, and an owner from the first moment on."""
    if commit.key is not None:
        hashed = request_hash(commit.asked)
        await operation_store.keep_key(db, commit.caller.account_id, commit.key, hashed, operation.id)
    if commit.intent.agent_name is None or operation.machine_id is None:
        return
    await life_store.own_from_birth(db, operation.machine_id, commit.caller.account_id, commit.intent.agent_name)
    message, comment = f"{operation.hostname} is composed for {commit.caller.username}", commit.intent.comment
    await Events.record(
        db, "machine_allocated", message, caller=commit.caller, host_id=operation.host_id,
        system_id=operation.system_id, operation_id=operation.id, details={"comment": comment} if comment else None,
    )  # fmt: skip


def name_taken(hostname: str) -> InvalidRequest:
    return InvalidRequest.of({"hostname": [f'Node with hostname "{hostname}" already exists']})
