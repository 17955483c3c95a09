"""Creates and stores a host's credentials: an LXD key pair, an SSH key or a password.

`prepare` checks the input and generates keys before anything is written; `store` writes in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from common.errors import Busy, InvalidRequest
from common.trust.certificates import utc_now
from common.values import DriverType
from regiond.credentials import key_pair_store
from regiond.credentials.certificates import make_ssh_key_pair, read_key_pair, same_certificate
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.model import KeyPair, SshKeyPair, unusable_token
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.hosts import store
from regiond.hosts.address.host_address import Address
from regiond.hosts.model import MASK, HostChange, HostView, NewHost

PASSWORD = "password"  # noqa: S105  # the name of the secret: a trust token or password, stored until it was used


@frozen(kw_only=True)
class PreparedCredentials:
    """Credentials, not stored yet. `pair` is None if none is needed, or if the hosts at the address have one."""

    secrets: Mapping[str, str] = field(factory=dict, repr=False)
    pair: KeyPair | None = None
    ssh: SshKeyPair | None = None

    @property
    def public_key(self) -> str | None:
        return self.ssh.public_line if self.ssh else None


class HostCredentials:
    def __init__(self, database: Database, credentials: Credentials, key_pairs: KeyPairs) -> None:
        self._database = database
        self._credentials = credentials
        self._key_pairs = key_pairs

    async def prepare(self, new: NewHost, name: str, address: Address) -> PreparedCredentials:
        """Returns the credentials of a new host. Raises InvalidRequest by field for an unusable key pair."""
        given = new.on_machine
        if new.driver is DriverType.LXD:
            pair = given.key_pair if given is not None else read_key_pair(new.certificate, new.key, utc_now())
            if pair is not None and new.yields_pair and await self._has_pair(address.normalised):
                pair = None
            elif pair is None and not await self._has_pair(address.normalised):
                pair = await self._key_pairs.make(name)
            return PreparedCredentials(pair=pair, secrets=_password(new.password or new.power_pass))
        _reject_pair(new.certificate, new.key)
        ssh = None
        if address.needs_ssh_key:
            ssh = (given and given.ssh_key_pair) or make_ssh_key_pair(name)
        secrets = {"power_pass": new.power_pass} if new.power_pass else {}
        return PreparedCredentials(ssh=ssh, secrets={**secrets, "ssh_private_key": ssh.private_pem} if ssh else secrets)

    async def store(
        self, db: Db, host_id: int, address: Address, prepared: PreparedCredentials, driver: DriverType
    ) -> None:
        """Stores the credentials. Raises Busy if the host whose key pair this one was to share was just removed."""
        if driver is DriverType.LXD:
            await self._use_pair_at(db, host_id, address.normalised, prepared.pair)
        if prepared.secrets:
            await self._credentials.store(db, host_id, prepared.secrets)

    async def prepare_change(
        self, change: HostChange, before: HostView, new_address: str | None
    ) -> PreparedCredentials:
        """Returns the credentials of an update. Ignores a certificate that the host already has, and a masked secret.

        Clients of MAAS repeat `power_pass` with every update: for an LXD server it is used until the first discovery
        run.
        """
        if before.driver is not DriverType.LXD:
            _reject_pair(change.certificate, change.key)
            given = None if change.power_pass == MASK else change.power_pass  # clients send back what they have read
            return PreparedCredentials(secrets={"power_pass": given} if given else {})
        pair = read_key_pair(*await self._changed_pair(change, before.id), utc_now())
        if pair is None and new_address is not None and await self._needs_own_pair(before.id, new_address):
            pair = await self._key_pairs.make(before.name)
        repeated = change.power_pass if before.total is None else None
        return PreparedCredentials(pair=pair, secrets=_password(change.password or repeated))

    async def store_change(
        self, db: Db, before: HostView, prepared: PreparedCredentials, new_address: str | None
    ) -> None:
        if before.driver is DriverType.LXD and (prepared.pair is not None or new_address is not None):
            address = before.address if new_address is None else new_address
            old_id = await key_pair_store.key_pair_of_host(db, before.id)
            await self._change_pair(db, before.id, address, prepared.pair)
            if old_id is not None:
                await key_pair_store.drop_unused_key_pair(db, old_id)
        if prepared.secrets:
            await self._credentials.store(db, before.id, prepared.secrets)
        if before.driver is DriverType.LXD:
            await store.set_trust_error(db, before.id, None, None)

    async def _change_pair(self, db: Db, host_id: int, address: str, pair: KeyPair | None) -> None:
        """Uses an imported pair, else that of the other hosts at `address`, else the new one, else the old one."""
        if pair is not None and pair.imported:
            await key_pair_store.assign_key_pair(db, host_id, await self._key_pairs.replace(db, address, pair))
            return
        shared_id = await self._pair_of_others_at(db, address, host_id)
        if shared_id is not None:
            await key_pair_store.assign_key_pair(db, host_id, shared_id)
        elif pair is not None:
            await key_pair_store.assign_key_pair(db, host_id, await self._key_pairs.insert(db, pair))

    async def _use_pair_at(self, db: Db, host_id: int, address: str, pair: KeyPair | None) -> None:
        if pair is not None and pair.imported:
            pair_id = await self._key_pairs.replace(db, address, pair)
        elif pair is not None:
            pair_id = await self._key_pairs.share_or_insert(db, address, pair)
        else:
            await key_pair_store.lock_key_pair_address(db, address)
            shared_id = await key_pair_store.key_pair_at_address(db, address)
            if shared_id is None:
                raise Busy("The last host at this address was removed while this request ran. Try again.")
            pair_id = shared_id
        await key_pair_store.assign_key_pair(db, host_id, pair_id)

    async def _pair_of_others_at(self, db: Db, address: str, host_id: int) -> int | None:
        await key_pair_store.lock_key_pair_address(db, address)
        return await key_pair_store.key_pair_at_address(db, address, but=host_id)

    async def _has_pair(self, address: str) -> bool:
        async with self._database.connection() as db:
            return await key_pair_store.key_pair_at_address(db, address) is not None

    async def _needs_own_pair(self, host_id: int, address: str) -> bool:
        """Returns whether a host that moves to `address` shares its pair with other hosts and finds no pair there."""
        async with self._database.connection() as db:
            pair_id = await key_pair_store.key_pair_of_host(db, host_id)
            if pair_id is not None and len(await key_pair_store.hosts_of_key_pair(db, pair_id)) == 1:
                return False
            return await key_pair_store.key_pair_at_address(db, address, but=host_id) is None

    async def _changed_pair(self, change: HostChange, host_id: int) -> tuple[str | None, str | None]:
        """Returns certificate and key; None for both if the host has them: clients send back what they have read."""
        certificate, key = change.certificate, None if change.key == MASK else change.key
        if certificate is None:
            return None, key
        async with self._database.connection() as db:
            current = await self._key_pairs.of_host(db, host_id)
        if current is not None and same_certificate(certificate, current.view.certificate_pem):
            return None, None
        return certificate, key


def check_token(given: str | None) -> None:
    """Raises InvalidRequest for `password` if the text is a token that makes no server trust us."""
    reason = unusable_token(given) if given else None
    if reason is not None:
        raise InvalidRequest.of({"password": [reason]})


def _password(given: str | None) -> Mapping[str, str]:
    check_token(given)
    return {PASSWORD: given} if given and given != MASK else {}


def _reject_pair(certificate: str | None, key: str | None) -> None:
    given = {"certificate": certificate, "key": key}
    wrong = {name: ["Only LXD hosts have one."] for name, text in given.items() if text is not None}
    if wrong:
        raise InvalidRequest.of(wrong)
