"""One key pair for each LXD server: made off the reactor, sealed at rest, shared by all hosts at that server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import field, frozen

from common.certificates import utc_now
from common.errors import NotFound, WrongState
from regiond.credentials import key_pair_store as store
from regiond.credentials.certificates import KeyPair, make_key_pair
from regiond.credentials.seal import MasterKey, seal, unseal

if TYPE_CHECKING:
    from regiond.db.pool import Db

KEY_NAME = "key_pair.key"  # what the seal is bound to, beside the pair's id; no secret of a host has a dot in its name


@frozen(kw_only=True)
class PairView:
    """A pair without its key: what people may see."""

    id: int
    certificate_pem: str
    fingerprint: str
    expires_at: datetime
    imported: bool
    replaces_id: int | None = None


@frozen(kw_only=True)
class OpenPair:
    """For a call that is about to be made; never kept. Names are those of `HostAccess.credentials`."""

    view: PairView
    credentials: Mapping[str, str] = field(repr=False)


class KeyPairs:
    """Methods that take `db` work inside the caller's transaction. `server_name` is this machine's, for people."""

    def __init__(self, key: MasterKey, *, installation_id: UUID, server_name: str) -> None:
        self._key = key
        self._installation_id = installation_id
        self._server_name = server_name

    async def make(self, host_name: str) -> KeyPair:
        """A new pair, made in a thread."""
        return await asyncio.to_thread(make_key_pair, host_name, self._server_name, self._installation_id, utc_now())

    async def insert(self, db: Db, pair: KeyPair, *, replaces_id: int | None = None) -> int:
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

    async def open(self, db: Db, pair_id: int) -> OpenPair:
        """Raises NotFound, and BadSettings when the key cannot be opened."""
        row = await store.read(db, pair_id)
        key_pem = unseal(self._key, pair_id, KEY_NAME, row.sealed_key)
        return OpenPair(view=_view(row), credentials={"certificate": row.certificate_pem, "key": key_pem})

    async def of_host(self, db: Db, host_id: int) -> OpenPair | None:
        pair_id = await store.of_host(db, host_id)
        return None if pair_id is None else await self.open(db, pair_id)

    @staticmethod
    async def view(db: Db, pair_id: int) -> PairView:
        return _view(await store.read(db, pair_id))

    async def share_or_insert(self, db: Db, address: str, pair: KeyPair) -> int:
        """The pair that hosts at the address use already, else this one; for an imported pair see `replace`."""
        await store.lock_address(db, address)
        found = await store.at_address(db, address)
        return await self.insert(db, pair) if found is None else found

    async def replace(self, db: Db, address: str, pair: KeyPair) -> int:
        """A pair that a person brought is that of every host at the address from now on; the old one goes.

        Raises WrongState while the old one is being rotated.
        """
        await store.lock_address(db, address)
        found = await store.at_address(db, address)
        if found is None:
            return await self.insert(db, pair)
        old = await store.read(db, found)
        if old.fingerprint == pair.fingerprint:
            return found
        if old.replaces_id is not None or await store.next_of(db, found) is not None:
            raise WrongState("The credentials of this server are being rotated: wait until that has ended.")
        new_id = await self.insert(db, pair)
        if not old.imported:  # a certificate that a person brought may be in use elsewhere
            await store.retire(db, new_id, old.fingerprint)
        await store.switch(db, found, new_id)
        await store.drop_unused(db, found)
        return new_id

    @staticmethod
    async def certificate_named(db: Db, host_name: str) -> str:
        """The certificate of the host of that name, as PEM.

        Raises NotFound when there is none, WrongState when hosts of that name use different ones.
        """
        found = await store.named(db, host_name)
        usable = {one.fingerprint: one.certificate_pem for one in found if one.certificate_pem is not None}
        if not usable:
            raise NotFound(
                f"There is no VM host named {host_name}." if not found else f"{host_name} has no certificate.",
            )
        if len(usable) > 1:
            ids = ", ".join(str(one.host_id) for one in found)
            raise WrongState(
                f"{len(found)} VM hosts are named {host_name} ({ids}) and use different certificates: give them "
                "different names, or take the certificate from the parameters of the one you mean."
            )
        (pem,) = usable.values()
        return pem


def _view(row: store.PairRow) -> PairView:
    return PairView(
        id=row.id,
        certificate_pem=row.certificate_pem,
        fingerprint=row.fingerprint,
        expires_at=row.expires_at,
        imported=row.imported,
        replaces_id=row.replaces_id,
    )
