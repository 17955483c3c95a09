"""Finds or adds the server of a host: a host that does not prove which server it is joins none."""

from __future__ import annotations

from common.errors import PeerChanged, ServerUnconfirmed, WrongState
from common.values import DriverType, HostFacts
from common.words.hidden_text import hidden, hidden_place
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts.address.server_identity import became_member, identity_of, proves_identity
from regiond.hosts.discovery import server_store, store
from regiond.hosts.discovery.server_store import KnownHost, OtherHost
from regiond.hosts.trust.trust_instructions import confirm_command, confirm_same_command
from regiond.ledger import store as ledger_store

# Without a usable UUID in the firmware, libvirt makes up another one whenever its daemon starts.
_ADVICE_ON_LIBVIRT = (
    ". If this repeats after each start of libvirtd, let libvirt use the machine's id: set host_uuid_source = "
    '"machine-id" in /etc/libvirt/libvirtd.conf there, and restart libvirtd.'
)


async def match_server(db: Db, host_id: int, facts: HostFacts) -> int:
    """Stores the host with its server, and returns the server's id.

    Raises PeerChanged if the host reports another server than before, ServerUnconfirmed if it reports a server of other
    hosts without proof, WrongState if a host with machines would change its server. Then nothing has changed.
    """
    host = await server_store.read_known_host(db, host_id)
    known = None if host.server_may_change else host.identity
    identity = identity_of(host.contact, facts, known=known, confirmed=host.confirmed_identity)
    server_id = host.server_id
    if server_id is None or identity != host.identity:
        await server_store.lock_identity(db, identity)
        server_id = await _other_server(db, host, identity, facts)
    await server_store.set_server(db, host_id, server_id)
    if host.server_id not in (None, server_id):
        await _leave(db, host, host.server_id, identity)
    return server_id


async def _other_server(db: Db, host: KnownHost, identity: str, facts: HostFacts) -> int:
    """Returns the id of the server that has `identity` from now on. The host's server had another identity before."""
    is_confirmed = identity == host.confirmed_identity
    found = await server_store.find_server(db, identity)
    if host.server_id is not None and host.identity is not None and not host.server_may_change:
        renames = is_confirmed or became_member(host.identity, identity)
        if found is None and renames:
            return await _renamed(db, host, host.server_id, identity)
        if not is_confirmed:
            raise _changed(host, host.identity, identity)
    if host.server_id is not None:
        await _require_no_machines(db, host, identity)
    if found is None:
        return await server_store.add_server(db, identity, facts)
    others = await server_store.other_hosts(db, found, host.contact.host_id)
    if others and not is_confirmed and not proves_identity(host.contact.driver) and not _same_key(host, others):
        raise _unconfirmed(host, identity, others[0])
    return found


def _same_key(host: KnownHost, others: tuple[OtherHost, ...]) -> bool:
    own = host.contact.pinned_fingerprint
    return own is not None and any(other.pinned_fingerprint == own for other in others)


async def _renamed(db: Db, host: KnownHost, server_id: int, identity: str) -> int:
    await server_store.rename_server(db, server_id, identity)
    identities = f"{hidden_place(identity)} now, instead of {hidden_place(str(host.identity))}"
    message = f"{host.name}: its server has the identity {identities}"
    await Events.record(db, "host_server_renamed", message, host_id=host.contact.host_id)
    return server_id


async def _require_no_machines(db: Db, host: KnownHost, identity: str) -> None:
    if machines := await store.count_machines(db, host.contact.host_id):
        raise WrongState(
            f"The address of {host.name} now leads to another server ({hidden_place(identity)}), but {machines} of its "
            "machines are on the previous one. Set the address back, or remove the host and add both.",
            machines=machines,
        )


async def _leave(db: Db, host: KnownHost, previous_id: int | None, identity: str) -> None:
    if previous_id is None:
        return
    await ledger_store.drop_server(db, previous_id)
    message = (
        f"{host.name}: the address now leads to another server ({hidden_place(identity)}); its facts were replaced"
    )
    await Events.record(db, "host_server_changed", message, level=Level.WARNING, host_id=host.contact.host_id)


def _changed(host: KnownHost, known: str, identity: str) -> PeerChanged:
    return PeerChanged(
        hidden(
            f"{host.name} reports that it is the server {identity}, but it was {known} until now. What it reports is "
            "not used. If another server answers at this address, remove the host and add that server. If it is the "
            f"same server, accept its new identity: {confirm_command(host.contact.host_id, identity)}"
            f"{_ADVICE_ON_LIBVIRT if host.contact.driver is DriverType.LIBVIRT else ''}"
        ),
        known=known,
        reported=identity,
    )


def _unconfirmed(host: KnownHost, identity: str, other: OtherHost) -> ServerUnconfirmed:
    which = "presents another SSH host key" if host.contact.pinned_fingerprint else "presents no SSH host key"
    return ServerUnconfirmed(
        hidden(
            f"{host.name} reports that it is the server {identity} of VM host {other.name} (id {other.id}), but "
            f"{which}. What it reports is not used. If both are the same server, confirm that: "
            f"{confirm_same_command(host.contact.host_id, other.id)} — if not, one of the two has the other's UUID: "
            "set host_uuid in /etc/libvirt/libvirtd.conf there and restart libvirtd."
        ),
        reported=identity,
        host=other.id,
    )
