"""Removes Innkeeper's certificate from a server of LXD or Incus whose last host is removed.

Nothing uses the certificate after that, and a stale credential is a risk. This is the last step of a removal on the
server. It may fail: a server that does not answer never delays the removal.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from attrs import evolve, frozen

from common.errors import (
    OF_IDENTITY,
    DeadlineExceeded,
    HostUnreachable,
    InnkeeperError,
    LinkLost,
    NotTrusted,
    RackUnreachable,
)
from common.rpc.commands.host_commands import HOST_UNTRUST, UntrustCall
from common.values import DriverType
from common.words.product_commands import ProductCommands, commands_of
from regiond.credentials import key_pair_store
from regiond.credentials.key_pairs import KeyPairs
from regiond.db.pool import Database, Db
from regiond.hosts import store
from regiond.hosts.removal_model import CertificateFate, HostRemoval
from regiond.racks.calls.host_calls import HostCalls

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

UNTRUST_DEADLINE_S = 10.0
_ATTEMPTS = 2  # after a lost connection the outcome is unknown; the call is idempotent
_UNKNOWN = (LinkLost, DeadlineExceeded, HostUnreachable)


@frozen(kw_only=True)
class _Leaving:
    commands: ProductCommands
    fingerprint: str
    others: tuple[str, ...]
    imported: bool


class _NotRemoved(Exception):
    """The certificate was not removed. `uncertain`: an attempt may have reached the server."""

    def __init__(self, error: InnkeeperError, *, uncertain: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.uncertain = uncertain


async def planned_fate(db: Db, host_ids: Sequence[int], removal: HostRemoval) -> tuple[CertificateFate, ...]:
    """Returns what the removal of these hosts does with the certificates that no other host uses."""
    fates = {}
    for host_id in host_ids:
        pair_id = await key_pair_store.key_pair_of_host(db, host_id)
        if pair_id is None or await key_pair_store.key_pair_is_used(db, pair_id, but=host_ids):
            continue
        pair = await KeyPairs.view(db, pair_id)
        commands = commands_of((await store.read_connection(db, host_id)).product)
        if removal.force:
            others = await key_pair_store.related_certificates(db, pair_id)
            fates[pair_id] = _left_behind(commands, pair.fingerprint, others)
            continue
        kept = _kept(commands, pair.fingerprint, imported=pair.imported, keep_trust=removal.keep_trust)
        fates[pair_id] = kept or CertificateFate(
            fingerprint=pair.fingerprint,
            removed=True,
            explanation="this removes the last host of the server. Adding it again needs a new token. With "
            "keep_trust=true it stays, and none is needed.",
        )
    return tuple(fates.values())


def _left_behind(
    commands: ProductCommands,
    fingerprint: str,
    others: Sequence[str],
    reason: str = "The host does not answer",
    *,
    of_identity: bool | None = None,
) -> CertificateFate:
    """Returns the fate of a certificate that stays, like `others` of ours, such as that of an unfinished rotation.

    `of_identity` is None if the server has not said whether it is that of an identity.
    """
    command = commands.untrust(*others, fingerprint, of_identity=of_identity)
    return CertificateFate(
        fingerprint=fingerprint,
        removed=False,
        explanation=f"{reason.rstrip('. ')}. To remove it, run on the server: {command}",
    )


class HostCertificates:
    """The certificate's part in the removal of a host."""

    def __init__(self, database: Database, calls: HostCalls) -> None:
        self._database = database
        self._calls = calls

    async def leave(
        self, host_id: int, *, keep_trust: bool, interrupted: bool = False, may_retry: bool = False
    ) -> CertificateFate | None:
        """Returns what became of the certificate; None if another host uses it, or there is none. Idempotent.

        `interrupted`: an earlier call did not return, so the server may have received its request. If the outcome is
        unknown only because no rack is connected, this raises RackUnreachable while it `may_retry`.
        """
        leaving = await self._leave(host_id, keep_trust=keep_trust)
        if leaving is None:
            return None
        kept = _kept(leaving.commands, leaving.fingerprint, imported=leaving.imported, keep_trust=keep_trust)
        if kept is not None:
            return kept
        try:
            return await self._remove(host_id, leaving, interrupted=interrupted)
        except _NotRemoved as failed:
            if may_retry and failed.uncertain and isinstance(failed.error, RackUnreachable):
                raise failed.error from failed
            log.warning("certificate_not_removed", host_id=host_id, code=failed.error.code, reason=failed.error.message)
            refused = isinstance(failed.error, NotTrusted)
            of_identity = failed.error.details.get(OF_IDENTITY) is True if refused else None
            reason = _reason(leaving.commands, failed.error, of_identity=of_identity)
            left = _left_behind(leaving.commands, leaving.fingerprint, leaving.others, reason, of_identity=of_identity)
            return evolve(left, uncertain=failed.uncertain)

    async def abandon(self, host_id: int) -> CertificateFate | None:
        """Does what `leave` does, for a host that does not answer: the certificate stays on its list. Idempotent."""
        leaving = await self._leave(host_id, keep_trust=False)
        return None if leaving is None else _left_behind(leaving.commands, leaving.fingerprint, leaving.others)

    @staticmethod
    async def stay(db: Db, host_id: int) -> None:
        """Reverts `leave` for a host that is not removed after all. Idempotent."""
        await key_pair_store.stay_with_key_pair(db, host_id)

    async def _leave(self, host_id: int, *, keep_trust: bool) -> _Leaving | None:
        """Returns the certificate to remove. The lock of the pair makes exactly one of several removals the last."""
        async with self._database.transaction() as db:
            pair_id = await key_pair_store.key_pair_of_host(db, host_id)
            host = await store.read_connection(db, host_id)
            if pair_id is None or host.driver is not DriverType.LXD:
                return None
            await key_pair_store.lock_key_pair(db, pair_id)
            await key_pair_store.leave_key_pair(db, host_id)
            if host.pinned is None or await key_pair_store.key_pair_is_used(db, pair_id):
                return None  # without a pinned certificate no rack has ever connected to the server
            await key_pair_store.keep_key_pair(db, pair_id, host_id, keep=keep_trust)
            pair = await KeyPairs.view(db, pair_id)
            others = await key_pair_store.related_certificates(db, pair_id)
        return _Leaving(
            commands=commands_of(host.product), fingerprint=pair.fingerprint, others=others, imported=pair.imported
        )

    async def _remove(self, host_id: int, leaving: _Leaving, *, interrupted: bool) -> CertificateFate:
        """Removes all our certificates from the server's trust list. Raises _NotRemoved."""
        for fingerprint in (*leaving.others, leaving.fingerprint):  # the one that authenticates the calls last
            await self._untrust(host_id, fingerprint, uncertain=interrupted)
        return CertificateFate(
            fingerprint=leaving.fingerprint,
            removed=True,
            explanation="the last host of the server was removed. Adding it again needs a new token.",
        )

    async def _untrust(self, host_id: int, fingerprint: str, *, uncertain: bool) -> None:
        """Removes the certificate from the server's trust list. Raises _NotRemoved."""
        for attempt in range(_ATTEMPTS):
            try:
                await self._calls.call(
                    host_id,
                    HOST_UNTRUST,
                    lambda access: UntrustCall(access=access, fingerprint=fingerprint),
                    deadline_s=UNTRUST_DEADLINE_S,
                )
            except InnkeeperError as error:
                uncertain = isinstance(error, _UNKNOWN) or (uncertain and not isinstance(error, NotTrusted))
                if attempt == _ATTEMPTS - 1 or not isinstance(error, _UNKNOWN):
                    raise _NotRemoved(error, uncertain=uncertain) from error
            else:
                return


def _reason(commands: ProductCommands, error: InnkeeperError, *, of_identity: bool | None) -> str:
    if of_identity:
        return f"{commands.product} does not let an identity without the permission can_delete_identities remove itself"
    if isinstance(error, NotTrusted):  # its text would explain how to continue with the server
        return f"{commands.product} does not let a certificate that is restricted to projects change the trust list"
    return error.message.rstrip(". ")


def _kept(commands: ProductCommands, fingerprint: str, *, imported: bool, keep_trust: bool) -> CertificateFate | None:
    if not imported and not keep_trust:
        return None
    why = "it was imported, and may be in use elsewhere." if imported else "keep_trust=true was requested."
    again = " Its key pair is kept: the next host at this address uses it and needs no token." if keep_trust else ""
    return CertificateFate(
        fingerprint=fingerprint,
        removed=False,
        explanation=f"{why}{again} To remove it, run on the server: {commands.untrust(fingerprint)}",
    )
