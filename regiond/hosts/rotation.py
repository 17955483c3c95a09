"""A new key pair for an LXD server, without an interruption: trusted before it is used, used before the old one goes.

Where a rotation stands is in the rows alone, so any process goes on with it: the next pair names the one it replaces
(`replaces_id`) until that is off the server's trust list; which of both the hosts use says whether they were switched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from common.errors import DriverFailed, NotFound, NotTrusted
from common.rpc.commands import HOST_REACH, HOST_TRUST, HOST_UNTRUST, HostCall, TrustCall, UntrustCall
from common.values import HostAccess
from regiond.credentials import key_pair_store as store
from regiond.credentials.key_pairs import KeyPairs, OpenPair
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts.trust_text import trust_name
from regiond.operations.model import Operation, OperationKind
from regiond.operations.work import Journal, Outcome
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

CALL_DEADLINE_S = 30.0
ROTATION_PASSWORD = "rotation_password"  # noqa: S105  # the name of the secret: a token for the new certificate
_Record = Callable[["Db"], Awaitable[None]]
_SAID_NO = (NotTrusted, DriverFailed)


@frozen(kw_only=True)
class _Stand:
    """`host_id` is the host that was asked, or another that shares the pair when that is gone; `through` is the one
    whose address is used this time. `next` is None before it was made; `switched`: hosts use `next` already.
    """

    host_id: int
    host_name: str
    through: int
    old: OpenPair
    next: OpenPair | None
    switched: bool


class RotateCredentials:
    kind = OperationKind.ROTATE

    def __init__(self, database: Database, calls: HostCalls, credentials: Credentials, key_pairs: KeyPairs) -> None:
        self._database = database
        self._calls = calls
        self._credentials = credentials
        self._key_pairs = key_pairs

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        old_id: int = operation.request["key_pair"]
        stand = await self._stand(old_id, operation)
        if stand is None:
            return Outcome(result={"because": "the pair is not in use any more"}, record=_drop(old_id))
        new = stand.next or await self._make(stand, journal)
        if not stand.switched:
            await journal.step("trust_new", reaches_host=True, fingerprint=new.view.fingerprint)
            await self._trust(stand, new)
            await journal.step("verify_new")
            await self._reach(stand, new)
            await journal.step("switch")
            await self._database.in_transaction(lambda db: _switch(db, old_id, new.view.id))
        await journal.step("untrust_old", fingerprint=stand.old.view.fingerprint)
        await self._untrust(stand, with_pair=new, fingerprint=stand.old.view.fingerprint)
        return Outcome(
            result={"fingerprint": new.view.fingerprint, "replaced": stand.old.view.fingerprint},
            record=self._rotated(stand, new, operation, "credentials_rotated", Level.INFO),
        )

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Before the switch: the new pair is forgotten again. After it the new one stays, and the old one goes.

        A restricted certificate was exchanged for the new one by the server: then there is no way back either.
        """
        old_id: int = operation.request["key_pair"]
        stand = await self._stand(old_id, operation)
        if stand is None or stand.next is None:
            return Outcome(record=self._forget_password(operation.host_id))
        new, switched = stand.next, stand.switched
        if not switched and await self._was_exchanged(stand, new):
            await self._database.in_transaction(lambda db: _switch(db, old_id, new.view.id))
            switched = True
        going, staying = (stand.old, new) if switched else (new, stand.old)
        try:
            await self._untrust(stand, with_pair=staying, fingerprint=going.view.fingerprint)
        except _SAID_NO as error:
            await journal.note("the certificate may still be trusted", because=error.message)
        if switched:
            return Outcome(record=self._rotated(stand, new, operation, "credentials_rotated", Level.WARNING))
        return Outcome(undone=("the new key pair was removed",), record=self._given_up(stand, new, operation))

    async def _stand(self, old_id: int, operation: Operation) -> _Stand | None:
        """None when the old pair is gone, or no host uses it or its successor."""
        async with self._database.transaction() as db:
            if not await store.lock(db, old_id):
                return None
            next_id = await store.next_of(db, old_id)
            before = await store.hosts(db, old_id)
            after: Mapping[int, str] = await store.hosts(db, next_id) if next_id is not None else {}
            hosts = {**before, **after}
            if not hosts:
                return None
            # The asked one first, and after each failure the next: a member of a cluster that is down holds up nobody.
            order = sorted(hosts, key=lambda host_id: (host_id != operation.host_id, host_id))
            return _Stand(
                host_id=order[0],
                host_name=hosts[order[0]],
                through=order[operation.failures % len(order)],
                old=await self._key_pairs.open(db, old_id),
                next=await self._key_pairs.open(db, next_id) if next_id is not None else None,
                switched=bool(after) and not before,
            )

    async def _make(self, stand: _Stand, journal: Journal) -> OpenPair:
        await journal.step("make_new")
        pair = await self._key_pairs.make(stand.host_name)
        old_id = stand.old.view.id
        async with self._database.transaction() as db:
            if not await store.lock(db, old_id):
                raise NotFound("The key pair was removed in this very moment.")
            next_id = await store.next_of(db, old_id)  # another operation's, for a host of the same server
            if next_id is None:
                next_id = await self._key_pairs.insert(db, pair, replaces_id=old_id)
            return await self._key_pairs.open(db, next_id)

    async def _trust(self, stand: _Stand, new: OpenPair) -> None:
        """With the old pair's help, or by the token that was given: a restricted certificate may add no other."""
        async with self._database.connection() as db:
            secret = (await self._credentials.load(db, stand.host_id)).get(ROTATION_PASSWORD)
        # A token waits for the member that it was given for: LXD 5.0 spoils it at another than the one that made it.
        speaking, through = (stand.old, stand.through) if secret is None else (new, stand.host_id)

        def request(access: HostAccess) -> TrustCall:
            return TrustCall(
                access=evolve(access, credentials=speaking.credentials),
                certificate_pem=new.view.certificate_pem,
                name=trust_name(stand.host_name),
                secret=secret,
            )

        try:
            await self._calls.call(through, HOST_TRUST, request, deadline_s=CALL_DEADLINE_S)
        except _SAID_NO as error:
            if not await self._is_trusted(stand, new):  # by an earlier try, or by hand
                raise NotTrusted(
                    f"{stand.host_name} does not take the new certificate: {error.message.rstrip('. ')}. The old one "
                    "stays in use. A restricted certificate cannot add another: rotate again with a trust token as "
                    "password."
                ) from error

    async def _was_exchanged(self, stand: _Stand, new: OpenPair) -> bool:
        return not await self._is_trusted(stand, stand.old) and await self._is_trusted(stand, new)

    async def _is_trusted(self, stand: _Stand, pair: OpenPair) -> bool:
        try:
            await self._reach(stand, pair)
        except _SAID_NO:
            return False
        return True

    async def _reach(self, stand: _Stand, pair: OpenPair) -> None:
        await self._calls.call(
            stand.through,
            HOST_REACH,
            lambda access: HostCall(access=evolve(access, credentials=pair.credentials)),
            deadline_s=CALL_DEADLINE_S,
        )

    async def _untrust(self, stand: _Stand, *, with_pair: OpenPair, fingerprint: str) -> None:
        await self._calls.call(
            stand.through,
            HOST_UNTRUST,
            lambda access: UntrustCall(
                access=evolve(access, credentials=with_pair.credentials), fingerprint=fingerprint
            ),
            deadline_s=CALL_DEADLINE_S,
        )

    def _rotated(self, stand: _Stand, new: OpenPair, operation: Operation, kind: str, level: Level) -> _Record:
        async def record(db: Db) -> None:
            old_id = stand.old.view.id
            await _switch(db, old_id, new.view.id)  # a host that was added meanwhile
            await store.set_replaced(db, new.view.id)
            await store.delete(db, old_id)
            await self._credentials.forget(db, stand.host_id, [ROTATION_PASSWORD])
            message = (
                f"{stand.host_name}: the certificate {new.view.fingerprint} is used in place of "
                f"{stand.old.view.fingerprint}"
            )
            if level is not Level.INFO:
                message += "; the old one may still be trusted there"
            await Events.record(
                db, kind, message, level=level, host_id=stand.host_id, operation_id=operation.id,
                details={"fingerprint": new.view.fingerprint, "replaced": stand.old.view.fingerprint},
            )  # fmt: skip

        return record

    def _given_up(self, stand: _Stand, new: OpenPair, operation: Operation) -> _Record:
        async def record(db: Db) -> None:
            await store.delete(db, new.view.id)
            await self._credentials.forget(db, stand.host_id, [ROTATION_PASSWORD])
            message = f"{stand.host_name}: the credentials were not rotated: {operation.error_message}"
            await Events.record(
                db, "rotation_failed", message, level=Level.ERROR, host_id=stand.host_id, operation_id=operation.id
            )

        return record

    def _forget_password(self, host_id: int | None) -> _Record:
        async def record(db: Db) -> None:
            if host_id is not None:
                await self._credentials.forget(db, host_id, [ROTATION_PASSWORD])

        return record


async def _switch(db: Db, old_id: int, new_id: int) -> None:
    """Every host of the server uses the new pair from its next call on; no host is added with the old one meanwhile."""
    for address in sorted(await store.addresses(db, old_id)):
        await store.lock_address(db, address)
    await store.lock(db, old_id)
    await store.switch(db, old_id, new_id)


def _drop(old_id: int) -> _Record:
    async def record(db: Db) -> None:
        next_id = await store.next_of(db, old_id)
        if next_id is not None:
            await store.set_replaced(db, next_id)
            await store.drop_unused(db, next_id)
        await store.drop_unused(db, old_id)

    return record
