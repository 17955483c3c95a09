"""Rotates the key pair of an LXD server without interruption.

The server trusts the new certificate before the hosts switch to it and the old one is removed. An imported one stays on
the server's trust list, since somebody else may use it: the MAAS that had the host. The progress of a
rotation is only in rows, so any process can continue it: the new pair refers to the replaced one (`replaces_id`) until
that is off the server's trust list, and each host's row refers to the pair that the host uses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from attrs import evolve, frozen

from common.errors import OF_IDENTITY, DriverFailed, NotFound, NotTrusted, Unsupported, WrongState
from common.rpc.commands.host_commands import HOST_REACH, HOST_TRUST, HOST_UNTRUST, HostCall, TrustCall, UntrustCall
from common.values import DriverType, HostAccess
from common.words.hidden_text import hidden, hidden_place
from common.words.operation_kinds import OperationKind
from common.words.product_commands import commands_of
from regiond.credentials import key_pair_store, sent_store
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.model import OpenKeyPair
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import store
from regiond.hosts.model import HostView
from regiond.hosts.trust.host_credentials import check_token
from regiond.hosts.trust.trust_instructions import trust_name
from regiond.operations import intent_store
from regiond.operations import store as operation_store
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import Operation, stored_request
from regiond.racks.calls.host_calls import HostCalls
from regiond.racks.service import add_rotation
from regiond.requests.caller import Caller

MAX_FAILURES = 200  # more than 90 minutes, so that a restart of the server does not end a rotation
ROTATION_PASSWORD = "rotation_password"  # noqa: S105  # the name of the secret: a token for the new certificate
_Record = Callable[["Db"], Awaitable[None]]
_REJECTED = (NotTrusted, DriverFailed)


async def open_rotation(db: Db, caller: Caller, host: HostView, credentials: Credentials, password: str | None) -> int:
    """Returns the id of the server's rotation, opened in the caller's transaction unless one is open.

    Raises Unsupported for a host without a key pair, WrongState for one that was never reached.
    """
    pair_id = await key_pair_store.key_pair_of_host(db, host.id)
    if host.driver is not DriverType.LXD or pair_id is None:
        raise Unsupported(f"{host.name} is not an LXD host: it has no key pair to rotate.")
    if host.total is None:
        raise WrongState(f"{host.name} was never reached, so nothing trusts its key pair yet. Refresh it first.")
    await key_pair_store.lock_key_pair(db, pair_id)
    for host_id in await key_pair_store.hosts_of_key_pair(db, pair_id):
        active = await operation_store.active(db, OperationKind.ROTATE, host_id=host_id)
        if active is not None:
            return active.id
    if password:
        check_token(password)
        await credentials.store(db, host.id, {ROTATION_PASSWORD: password})
    await Events.record(
        db, "rotation_requested", f"The rotation of {host.name}'s credentials was requested", caller=caller,
        host_id=host.id,
    )  # fmt: skip
    return await _insert(db, host.id, host.name, pair_id, caller.account_id)


@frozen(kw_only=True)
class _Request:
    """`key_pair` is the id of the one that is replaced."""

    key_pair: int


@frozen(kw_only=True)
class _Progress:
    """The progress of a rotation. `host_id` is the requested host, or another with the pair if that was removed."""

    host_id: int
    host_name: str
    through: int  # the host whose address this attempt uses
    old: OpenKeyPair
    new: OpenKeyPair | None  # None: not generated yet
    switched: bool  # all hosts use `new`


class RotateCredentials:
    """The steps make_new, trust_new, verify_new, switch and untrust_old, each idempotent."""

    kind = OperationKind.ROTATE

    def __init__(self, database: Database, calls: HostCalls, credentials: Credentials, key_pairs: KeyPairs) -> None:
        self._database = database
        self._calls = calls
        self._credentials = credentials
        self._key_pairs = key_pairs

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        old_id = operation.request_as(_Request).key_pair
        progress = await self._progress(old_id, operation)
        if progress is None:
            return Outcome(result={"reason": "no host uses the key pair any more"}, record=_drop_pairs(old_id))
        new = progress.new or await self._generate(progress, journal)
        if not progress.switched:
            await journal.step("trust_new", reaches_host=True, fingerprint=new.view.fingerprint)
            await self._trust(progress, new)
            await journal.step("verify_new")
            await self._reach(progress, new)
            await journal.step("switch")
            await self._database.in_transaction(lambda db: _switch(db, old_id, new.view.id))
        old, level = progress.old.view, Level.INFO
        if not old.imported:
            await journal.step("untrust_old", fingerprint=old.fingerprint)
            try:
                await self._untrust(progress, with_pair=new, fingerprint=old.fingerprint)
            except NotTrusted as error:
                if OF_IDENTITY not in error.details:
                    raise
            if await self._is_trusted(progress, progress.old):  # an identity of LXD that we may not remove, or not see
                level = Level.WARNING
        return Outcome(
            result={"fingerprint": new.view.fingerprint, "replaced": old.fingerprint},
            record=self._record_rotated(progress, new, operation, level, stays=await self._stays(progress)),
        )

    async def _stays(self, progress: _Progress) -> bool:
        """Returns whether the server still trusts an imported certificate. It exchanges one that is restricted."""
        return progress.old.view.imported and await self._is_trusted(progress, progress.old)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Removes the new pair before the switch, and completes the rotation after it.

        Also completes it if the server has exchanged a restricted certificate: then the old one is no longer trusted.
        """
        old_id = operation.request_as(_Request).key_pair
        progress = await self._progress(old_id, operation)
        if progress is None or progress.new is None:
            return Outcome(record=self._delete_password(operation.host_id))
        new, switched = progress.new, progress.switched
        if not switched and await self._was_exchanged(progress, new):
            await self._database.in_transaction(lambda db: _switch(db, old_id, new.view.id))
            switched = True
        removed, remaining = (progress.old, new) if switched else (new, progress.old)
        try:
            if not removed.view.imported:
                await self._untrust(progress, with_pair=remaining, fingerprint=removed.view.fingerprint)
        except _REJECTED as error:
            await journal.note("the certificate may still be trusted", reason=error.message)
        if switched:
            stays = await self._stays(progress)
            return Outcome(record=self._record_rotated(progress, new, operation, Level.WARNING, stays=stays))
        return Outcome(undone=("the new key pair was removed",), record=self._record_failed(progress, new, operation))

    async def _progress(self, old_id: int, operation: Operation) -> _Progress | None:
        """Returns the progress; None if the old pair was deleted, or no host uses it or its successor."""
        async with self._database.transaction() as db:
            if not await key_pair_store.lock_key_pair(db, old_id):
                return None
            new_id = await key_pair_store.replacement_of(db, old_id)
            on_old = await key_pair_store.hosts_of_key_pair(db, old_id)
            on_new: Mapping[int, str] = await key_pair_store.hosts_of_key_pair(db, new_id) if new_id is not None else {}
            hosts = {**on_old, **on_new}
            if not hosts:
                return None
            # The requested host first, and the next one after each failure: one cluster member may be down.
            order = sorted(hosts, key=lambda host_id: (host_id != operation.host_id, host_id))
            return _Progress(
                host_id=order[0],
                host_name=hosts[order[0]],
                through=order[operation.failures % len(order)],
                old=await self._key_pairs.open(db, old_id),
                new=await self._key_pairs.open(db, new_id) if new_id is not None else None,
                switched=bool(on_new) and not on_old,
            )

    async def _generate(self, progress: _Progress, journal: Journal) -> OpenKeyPair:
        """Returns the new pair, stored now or by an earlier attempt."""
        await journal.step("make_new")
        pair = await self._key_pairs.make(progress.host_name)
        old_id = progress.old.view.id
        async with self._database.transaction() as db:
            if not await key_pair_store.lock_key_pair(db, old_id):
                raise NotFound("The key pair was removed while it was being rotated.")
            new_id = await key_pair_store.replacement_of(db, old_id)
            if new_id is None:
                new_id = await self._key_pairs.insert(db, pair, replaces_id=old_id)
            return await self._key_pairs.open(db, new_id)

    async def _trust(self, progress: _Progress, new: OpenKeyPair) -> None:
        """Adds the new certificate, authenticated by the old one or by the given token."""
        async with self._database.connection() as db:
            secret = (await self._credentials.load(db, progress.host_id)).get(ROTATION_PASSWORD)
        # LXD 5.0 invalidates a token that is shown to another cluster member than the one that issued it.
        caller, through = (progress.old, progress.through) if secret is None else (new, progress.host_id)

        def request(access: HostAccess) -> TrustCall:
            return TrustCall(
                access=evolve(access, credentials=caller.credentials),
                certificate_pem=new.view.certificate_pem,
                name=trust_name(progress.host_name),
                secret=secret,
            )

        try:
            await self._calls.call(through, HOST_TRUST, request)
        except _REJECTED as error:
            if not await self._is_trusted(progress, new):  # an earlier attempt or a person may have added it
                raise NotTrusted(
                    f"{progress.host_name} rejected the new certificate ({hidden(error.message).rstrip('. ')}); the "
                    "old one stays in use. A restricted certificate cannot add another one: rotate again with a trust "
                    "token as password."
                ) from error

    async def _was_exchanged(self, progress: _Progress, new: OpenKeyPair) -> bool:
        """Returns whether the server trusts only the new certificate, although the hosts use the old one."""
        return not await self._is_trusted(progress, progress.old) and await self._is_trusted(progress, new)

    async def _is_trusted(self, progress: _Progress, pair: OpenKeyPair) -> bool:
        """Returns whether the server trusts the pair, from a call to it. Raises if it cannot be reached."""
        try:
            await self._reach(progress, pair)
        except _REJECTED:
            return False
        return True

    async def _reach(self, progress: _Progress, pair: OpenKeyPair) -> None:
        await self._calls.call(
            progress.through,
            HOST_REACH,
            lambda access: HostCall(access=evolve(access, credentials=pair.credentials)),
        )

    async def _untrust(self, progress: _Progress, *, with_pair: OpenKeyPair, fingerprint: str) -> None:
        await self._calls.call(
            progress.through,
            HOST_UNTRUST,
            lambda access: UntrustCall(
                access=evolve(access, credentials=with_pair.credentials), fingerprint=fingerprint
            ),
        )

    def _record_rotated(
        self, progress: _Progress, new: OpenKeyPair, operation: Operation, level: Level, *, stays: bool
    ) -> _Record:
        async def record(db: Db) -> None:
            old_id, old, host = progress.old.view.id, progress.old.view.fingerprint, progress.host_name
            await _switch(db, old_id, new.view.id)  # includes hosts that were added meanwhile
            await _rotate_again_if_exposed(db, progress, new.view.id, operation)
            await key_pair_store.finish_replacement(db, new.view.id)
            await key_pair_store.delete_key_pair(db, old_id)
            await self._credentials.delete(db, progress.host_id, [ROTATION_PASSWORD])
            message = f"{host}: the certificate {hidden_place(new.view.fingerprint)} replaced {hidden_place(old)}"
            if stays:
                message += ", which was imported and stays trusted. Once nobody else uses it, run on the server: "
            elif level is not Level.INFO:
                message += "; the server may still trust the old one. To remove it, run there: "
            if stays or level is not Level.INFO:
                product = (await store.read_connection(db, progress.host_id)).product
                message += hidden(commands_of(product).untrust(old))
            await Events.record(
                db, "credentials_rotated", message, level=level, host_id=progress.host_id, operation_id=operation.id,
                details={"fingerprint": new.view.fingerprint, "replaced": old},
            )  # fmt: skip

        return record

    def _record_failed(self, progress: _Progress, new: OpenKeyPair, operation: Operation) -> _Record:
        async def record(db: Db) -> None:
            await key_pair_store.delete_key_pair(db, new.view.id)
            await self._credentials.delete(db, progress.host_id, [ROTATION_PASSWORD])
            message = f"{progress.host_name}: the credentials were not rotated: {operation.error_message}"
            await Events.record(
                db, "rotation_failed", message, level=Level.ERROR, host_id=progress.host_id, operation_id=operation.id
            )

        return record

    def _delete_password(self, host_id: int | None) -> _Record:
        async def record(db: Db) -> None:
            if host_id is not None:
                await self._credentials.delete(db, host_id, [ROTATION_PASSWORD])

        return record


async def _rotate_again_if_exposed(db: Db, progress: _Progress, pair_id: int, operation: Operation) -> None:
    """Opens another rotation if a rack that was removed meanwhile had the new pair."""
    exposing = await sent_store.racks_that_expose(db, pair_id)
    if not exposing:
        return
    again_id = await _insert(db, progress.host_id, progress.host_name, pair_id, operation.account_id)
    for rack_id in exposing:
        await add_rotation(db, rack_id, again_id)


async def _insert(db: Db, host_id: int, host_name: str, pair_id: int, account_id: int | None) -> int:
    return await intent_store.insert(
        db, OperationKind.ROTATE, host_id=host_id, host_name=host_name, account_id=account_id,
        request=stored_request(_Request(key_pair=pair_id)), max_failures=MAX_FAILURES,
    )  # fmt: skip


async def _switch(db: Db, old_id: int, new_id: int) -> None:
    """Gives all hosts of the server the new pair, from their next call on. The locks prevent hosts from being added."""
    for address in sorted(await key_pair_store.addresses_of_key_pair(db, old_id)):
        await key_pair_store.lock_key_pair_address(db, address)
    await key_pair_store.lock_key_pair(db, old_id)
    await key_pair_store.move_hosts_to_key_pair(db, old_id, new_id)


def _drop_pairs(old_id: int) -> _Record:
    """Deletes the old pair and its replacement, both unused: every host of the server was removed."""

    async def record(db: Db) -> None:
        new_id = await key_pair_store.replacement_of(db, old_id)
        if new_id is not None:
            await key_pair_store.finish_replacement(db, new_id)
            await key_pair_store.drop_unused_key_pair(db, new_id)
        await key_pair_store.drop_unused_key_pair(db, old_id)

    return record
