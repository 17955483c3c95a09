"""Gives booting guests the user data that their hypervisor does not store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from weakref import WeakSet

import structlog
from attrs import define

from common.errors import NotFound, TooManyAttempts
from regiond.credentials.rewrap import USER_DATA
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.machines.running.deployment import store
from regiond.machines.running.deployment.cloud_init import included_user_data

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

# cloud-init tries 11 times, and again after a restart of the guest. The limit is needed: a response may have 22 MiB.
MAX_FETCHES = 40
MAX_SENT_AT_ONCE = 2  # of one deployment: a guest may have abandoned the first
MAX_SENT_BYTES = 256 * 1024 * 1024  # of all deployments: guests may read slowly
_BUILT_AT_ONCE = 2  # each takes up to 60 MiB
_CHUNK_BYTES = 256 * 1024
_RETRY_AFTER_S = 10


@define(eq=False)
class _Sent:
    """Content that stays in memory while it is referred to and has not been sent."""

    deployment_id: int
    content: bytes


class UserDataDelivery:
    def __init__(self, database: Database, seal: Credentials) -> None:
        self._database = database
        self._seal = seal
        self._turns = asyncio.Semaphore(_BUILT_AT_ONCE)
        self._sent: WeakSet[_Sent] = WeakSet()

    async def read(self, deployment_id: int, secret: str) -> AsyncGenerator[bytes, None]:
        """Returns the user's parts of the guest's user data, in chunks, at most MAX_FETCHES times until it reports.

        Raises NotFound for an unknown deployment, a wrong secret, after the report, and for a guest that has its user
        data from its hypervisor; TooManyAttempts also while too much is being sent.
        """
        async with self._database.connection() as db:
            deployment = await store.find(db, deployment_id)
        if deployment is None or not deployment.is_secret(secret) or not deployment.offers_user_data:
            raise NotFound("There is no such user data, its deployment has ended, or the secret is wrong.")
        user_data = self._seal.unseal_data(deployment_id, USER_DATA, deployment.sealed_user_data or b"")
        async with self._turns:
            self._check_room(deployment_id)
            await self._count(deployment_id)
            sent = _Sent(deployment_id, await asyncio.to_thread(included_user_data, user_data))
            self._sent.add(sent)
        log.info("user_data_fetched", deployment=deployment_id, size_bytes=len(sent.content))
        return _in_chunks(sent)

    async def _count(self, deployment_id: int) -> None:
        async with self._database.transaction() as db:
            if not await store.count_fetch(db, deployment_id, most=MAX_FETCHES):
                raise _too_many(f"The guest has fetched its user data {MAX_FETCHES} times.")

    def _check_room(self, deployment_id: int) -> None:
        sent = tuple(one for one in self._sent if one.content)
        if sum(one.deployment_id == deployment_id for one in sent) >= MAX_SENT_AT_ONCE:
            raise _too_many("The guest is being sent its user data already.")
        if sum(len(one.content) for one in sent) >= MAX_SENT_BYTES:
            raise _too_many("This region is sending user data to too many guests.")


async def _in_chunks(sent: _Sent) -> AsyncGenerator[bytes, None]:
    """Frees the content when it ends: a client that disconnects leaves cycles that keep it until a collection."""
    try:
        for offset in range(0, len(sent.content), _CHUNK_BYTES):
            yield sent.content[offset : offset + _CHUNK_BYTES]
    finally:
        sent.content = b""


def _too_many(message: str) -> TooManyAttempts:
    return TooManyAttempts(message, retry_after_s=_RETRY_AFTER_S)
