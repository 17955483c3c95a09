"""Generates, stores and replaces the TLS key pair that the hosts of an LXD server share."""

from __future__ import annotations

import asyncio
from uuid import UUID

from common.errors import NotFound, WrongState
from common.trust.certificates import utc_now
from regiond.credentials import key_pair_store as store
from regiond.credentials.certificates import make_key_pair
from regiond.credentials.model import KeyPair, KeyPairView, OpenKeyPair
from regiond.credentials.seal import MasterKey, seal, unseal
from regiond.db.pool import Db

KEY_NAME = "key_pair.key"  # bound into the seal with the id of the pair; names of host secrets contain no dot


class KeyPairs:
    """Methods that take `db` join the caller's transaction. `server_name` is the name of this computer."""

    def __init__(self, key: MasterKey, *, installation_id: UUID, server_name: str) -> None:
        self._key = key
        self._installation_id = installation_id
        self._server_name = server_name

    async def make(self, host_name: str) -> KeyPair:
        """Generates a pair in a thread."""
        return await asyncio.to_thread(make_key_pair, host_name, self._server_name, self._installation_id, utc_now())

    async def insert(self, db: Db, pair: KeyPair, *, replaces_id: int | None = None) -> int:
        """Stores the pair and returns its id."""
        pair_id = await store.new_id(db)
        row = store.PairRow(
            id=pair_id,
            certificate_pem=pair.certificate_pem,
            fingerprint=pair.fingerprint,
            expires_at=pair.expires_at,
            imported=pair.imported,
            sealed_key=seal(self._key, pair_id, KEY_NAME, pair.key_pem),
            replaces_id=replaces_id,
        )
        await store.insert(db, row)
        return pair_id

    async def open(self, db: Db, pair_id: int) -> OpenKeyPair:
        """Raises NotFound; BadSettings if the key cannot be decrypted."""
        row = await store.read(db, pair_id)
        key_pem = unseal(self._key, pair_id, KEY_NAME, row.sealed_key)
        return OpenKeyPair(view=_view(row), credentials={"certificate": row.certificate_pem, "key": key_pem})

    async def of_host(self, db: Db, host_id: int) -> OpenKeyPair | None:
        pair_id = await store.key_pair_of_host(db, host_id)
        return None if pair_id is None else await self.open(db, pair_id)

    @staticmethod
    async def view(db: Db, pair_id: int) -> KeyPairView:
        return _view(await store.read(db, pair_id))

    async def share_or_insert(self, db: Db, address: str, pair: KeyPair) -> int:
        """Returns the id of the pair of the hosts at the address; inserts this one if there is none."""
        await store.lock_key_pair_address(db, address)
        found = await store.key_pair_at_address(db, address)
        return await self.insert(db, pair) if found is None else found

    async def replace(self, db: Db, address: str, pair: KeyPair) -> int:
        """Assigns a user-supplied pair to every host at the address and deletes the old pair. Returns its id.

        Raises WrongState while the old pair is being rotated.
        """
        await store.lock_key_pair_address(db, address)
        found = await store.key_pair_at_address(db, address)
        if found is None:
            return await self.insert(db, pair)
        old = await store.read(db, found)
        if old.fingerprint == pair.fingerprint:
            return found
        if old.replaces_id is not None or await store.replacement_of(db, found) is not None:
            raise WrongState("The credentials of this server are being rotated. Try again when the rotation has ended.")
        new_id = await self.insert(db, pair)
        if not old.imported:  # a user-supplied certificate may be in use elsewhere
            await store.retire(db, new_id, old.fingerprint)
        await store.move_hosts_to_key_pair(db, found, new_id)
        await store.drop_unused_key_pair(db, found)
        return new_id

    @staticmethod
    async def certificate_named(db: Db, host_name: str) -> str:
        """Returns the certificate of the host with that name, as PEM. Raises NotFound if there is none."""
        pem = await store.certificate_named(db, host_name)
        if pem is None:
            raise NotFound(f"{host_name} has no certificate.")
        return pem


def _view(row: store.PairRow) -> KeyPairView:
    return KeyPairView(
        id=row.id,
        certificate_pem=row.certificate_pem,
        fingerprint=row.fingerprint,
        expires_at=row.expires_at,
        imported=row.imported,
        replaces_id=row.replaces_id,
    )
