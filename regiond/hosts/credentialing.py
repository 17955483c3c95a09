"""What a host is given to speak with when it is added or changed: a key pair for LXD, keys and passwords for libvirt.

Two steps: `prepare` checks and makes keys before anything is written, `keep` writes inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from common.certificates import utc_now
from common.errors import Busy, InvalidRequest
from common.values import DriverType
from regiond.credentials import key_pair_store
from regiond.credentials.certificates import KeyPair, read_key_pair, same_certificate
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.service import Credentials
from regiond.credentials.ssh_keys import SshKeyPair, make_ssh_key_pair
from regiond.db.pool import Database
from regiond.hosts import store
from regiond.hosts.addresses import Address
from regiond.hosts.model import MASK, HostChange, HostView, NewHost

if TYPE_CHECKING:
    from regiond.db.pool import Db

PASSWORD = "password"  # noqa: S105  # the name of the secret: a trust token or password, kept until it was used


@frozen(kw_only=True)
class Prepared:
    """`pair` is None where none is needed, or where hosts at the address have one already."""

    secrets: Mapping[str, str] = field(factory=dict, repr=False)
    pair: KeyPair | None = None
    ssh: SshKeyPair | None = None

    @property
    def public_key(self) -> str | None:
        return self.ssh.public_line if self.ssh else None


class Credentialing:
    def __init__(self, database: Database, credentials: Credentials, key_pairs: KeyPairs) -> None:
        self._database = database
        self._credentials = credentials
        self._key_pairs = key_pairs

    async def prepare(self, new: NewHost, name: str, address: Address) -> Prepared:
        """Raises InvalidRequest by field for a pair that cannot be taken."""
        if new.driver is DriverType.LXD:
            pair = read_key_pair(new.certificate, new.key, utc_now())
            if pair is None and not await self._has_pair(address.normalised):
                pair = await self._key_pairs.make(name)
            return Prepared(pair=pair, secrets=_password(new.password))
        _refuse_pair(new.certificate, new.key)
        ssh = make_ssh_key_pair(name) if address.needs_ssh_key else None
        secrets = {"power_pass": new.power_pass} if new.power_pass else {}
        return Prepared(ssh=ssh, secrets={**secrets, "ssh_private_key": ssh.private_pem} if ssh else secrets)

    async def keep(self, db: Db, host_id: int, address: Address, prepared: Prepared, driver: DriverType) -> None:
        if driver is DriverType.LXD:
            await self._use_pair_at(db, host_id, address.normalised, prepared.pair)
        if prepared.secrets:
            await self._credentials.store(db, host_id, prepared.secrets)

    async def prepare_change(self, change: HostChange, before: HostView, moved_to: str | None) -> Prepared:
        """Likewise for an update. A certificate or password that is there already, or masked, changes nothing."""
        if before.driver is not DriverType.LXD:
            _refuse_pair(change.certificate, change.key)
            return Prepared(secrets={"power_pass": change.power_pass} if change.power_pass else {})
        pair = read_key_pair(*await self._news(change, before.id), utc_now())
        if pair is None and moved_to is not None and await self._needs_own(before.id, moved_to):
            pair = await self._key_pairs.make(before.name)
        return Prepared(pair=pair, secrets=_password(change.password))

    async def keep_change(self, db: Db, before: HostView, prepared: Prepared, moved_to: str | None) -> None:
        if before.driver is DriverType.LXD and (prepared.pair is not None or moved_to is not None):
            address = before.address if moved_to is None else moved_to
            old_id = await key_pair_store.of_host(db, before.id)
            await self._move_pair(db, before.id, address, prepared.pair)
            if old_id is not None:
                await key_pair_store.drop_unused(db, old_id)
        if prepared.secrets:
            await self._credentials.store(db, before.id, prepared.secrets)
        if before.driver is DriverType.LXD:
            await store.set_trust_refusal(db, before.id, None)

    async def _move_pair(self, db: Db, host_id: int, address: str, pair: KeyPair | None) -> None:
        """To the pair of the place where the host is now. Alone with its pair, it takes it along."""
        if pair is not None and pair.imported:
            await key_pair_store.use(db, host_id, await self._key_pairs.replace(db, address, pair))
            return
        found = await self._pair_of_others_at(db, address, host_id)
        if found is not None:
            await key_pair_store.use(db, host_id, found)
        elif pair is not None:
            await key_pair_store.use(db, host_id, await self._key_pairs.insert(db, pair))

    async def _use_pair_at(self, db: Db, host_id: int, address: str, pair: KeyPair | None) -> None:
        if pair is not None and pair.imported:
            pair_id = await self._key_pairs.replace(db, address, pair)
        elif pair is not None:
            pair_id = await self._key_pairs.share_or_insert(db, address, pair)
        else:
            await key_pair_store.lock_address(db, address)
            found = await key_pair_store.at_address(db, address)
            if found is None:
                raise Busy("The last host at this address was removed in this very moment: try again.")
            pair_id = found
        await key_pair_store.use(db, host_id, pair_id)

    async def _pair_of_others_at(self, db: Db, address: str, host_id: int) -> int | None:
        await key_pair_store.lock_address(db, address)
        return await key_pair_store.at_address(db, address, but=host_id)

    async def _has_pair(self, address: str) -> bool:
        async with self._database.connection() as db:
            return await key_pair_store.at_address(db, address) is not None

    async def _needs_own(self, host_id: int, address: str) -> bool:
        """Whether a host that goes to `address` leaves a pair behind that others use, and finds none there."""
        async with self._database.connection() as db:
            pair_id = await key_pair_store.of_host(db, host_id)
            if pair_id is not None and len(await key_pair_store.hosts(db, pair_id)) == 1:
                return False
            return await key_pair_store.at_address(db, address, but=host_id) is None

    async def _news(self, change: HostChange, host_id: int) -> tuple[str | None, str | None]:
        """Certificate and key, unless they are what the host has: clients send back what they have read."""
        certificate, key = change.certificate, None if change.key == MASK else change.key
        if certificate is None:
            return None, key
        async with self._database.connection() as db:
            known = await self._key_pairs.of_host(db, host_id)
        if known is not None and same_certificate(certificate, known.view.certificate_pem):
            return None, None
        return certificate, key


def _password(given: str | None) -> Mapping[str, str]:
    return {PASSWORD: given} if given and given != MASK else {}


def _refuse_pair(certificate: str | None, key: str | None) -> None:
    given = {"certificate": certificate, "key": key}
    wrong = {name: ["Only LXD hosts have one."] for name, text in given.items() if text is not None}
    if wrong:
        raise InvalidRequest.of(wrong)
