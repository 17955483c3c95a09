"""Changes the address of a host that has machines: the server behind the new address must be the same one."""

from __future__ import annotations

import asyncio

from attrs import frozen

from common.addresses.simulated import SimulatedAddress
from common.errors import Busy, InnkeeperError, InvalidRequest, LinkLost, RackUnreachable
from common.values import DriverType, PeerIdentity
from regiond.db.pool import Db
from regiond.hosts import store
from regiond.hosts.address import identity_store
from regiond.hosts.address.host_address import Address
from regiond.hosts.address.server_identity import Contact, identity_of
from regiond.hosts.model import HostView
from regiond.racks.calls.address_calls import AddressCalls

VERIFY_DEADLINE_S = 40.0

_KNOWN = """
    select s.identity, h.address, h.pinned_fingerprint, h.member,
           exists (select from machine m where m.host_id = h.id) as has_machines
      from vm_host h join server s on s.id = h.server_id where h.id = $1
"""
_ACTING = """
    select id, kind from operation
     where host_id = $1 and is_open and kind <> 'refresh' and lease_until > now() order by id limit 1
"""


@frozen(kw_only=True)
class KnownServer:
    """The server of a host as the last successful refresh found it."""

    identity: str
    address: str
    pinned_fingerprint: str | None
    member: str | None
    has_machines: bool


@frozen(kw_only=True)
class VerifiedMove:
    """A checked move to a new address of the same server. `presented` is its identity there, None if it has none."""

    known: KnownServer
    presented: PeerIdentity | None


async def known_server(db: Db, host_id: int) -> KnownServer | None:
    """Returns the server of the host; None before the first successful refresh."""
    row = await db.fetchrow(_KNOWN, host_id)
    return None if row is None else KnownServer(**row)


async def verify_same_server(
    calls: AddressCalls, host: HostView, known: KnownServer, address: Address, *, deadline_s: float
) -> PeerIdentity | None:
    """Returns the identity that the server presents at the new address, None if it has none. Only reads.

    `deadline_s` limits the attempts of all racks together. Raises InvalidRequest under `power_address`, with the
    finding, if it is another server or cannot be read.
    """
    if host.driver is DriverType.SIMULATED and _simulated_name(address.normalised) == _simulated_name(host.address):
        return None  # the name is the identity

    def check_identity(presented: PeerIdentity) -> None:
        if known.pinned_fingerprint not in (None, presented.fingerprint):
            reason = f"the server there presents {presented.fingerprint}, but {known.pinned_fingerprint} is pinned"
            raise _refused(host, address, reason)

    try:
        async with asyncio.timeout(deadline_s):
            found = await calls.discover(
                host.id,
                address.normalised,
                check_identity=check_identity if address.has_identity else None,
                deadline_s=deadline_s,
            )
    except TimeoutError:
        more = "; with Prefer: wait=60 it has more time" if deadline_s < VERIFY_DEADLINE_S else ""
        reason = f"the server there did not answer within {deadline_s:.0f} s{more}"
        raise _refused(host, address, reason) from None
    except (RackUnreachable, LinkLost, InvalidRequest):
        raise
    except InnkeeperError as error:
        raise _refused(host, address, f"the server there could not be read: {error.message}") from error
    facts = found.facts
    contact = Contact(
        host_id=host.id,
        driver=host.driver,
        address=address.normalised,
        pinned_fingerprint=None if found.identity is None else found.identity.fingerprint,
    )
    identity = identity_of(contact, facts, known=known.identity)
    if identity != known.identity:
        raise _refused(host, address, f"the server there is {identity}, not {known.identity}")
    if facts.cluster_member != known.member:
        reason = f"it is of the cluster member {facts.cluster_member}, not of {known.member}"
        raise _refused(host, address, reason)
    return found.identity


async def lock_for_change(db: Db, host: HostView, known: KnownServer) -> None:
    """Locks the host until the transaction ends, if no operation acts on it and its address is still the known one.

    Raises Busy otherwise. An operation that waits for a retry continues at the new address.
    """
    await store.lock(db, host.id)
    acting = await db.fetchrow(_ACTING, host.id)
    if acting is not None:
        raise Busy(
            f"The address of {host.name} is not changed while operation {acting['id']} ({acting['kind']}) acts on it. "
            "Try again when it has ended.",
            operation=acting["id"],
        )
    if await known_server(db, host.id) != known:
        raise Busy(f"{host.name} was changed by someone else at the same time. Try again.", host=host.id)


async def lock_without_machines(db: Db, host: HostView) -> None:
    """Locks the host until the transaction ends, for an address of another server.

    Raises Busy if it has a machine since: that one is, or is being made, on the server at the old address.
    """
    await store.lock(db, host.id)
    known = await known_server(db, host.id)
    if known is not None and known.has_machines:
        raise Busy(
            f"The address of {host.name} was not changed: a machine was composed on it at the same time. Try again: "
            "the server at the new address is then compared with the one that has the machine.",
            host=host.id,
        )


async def pin_if_new(db: Db, host_id: int, known: KnownServer, presented: PeerIdentity | None) -> None:
    """Pins the identity of the server if it presents one at its new address and presented none before."""
    if presented is not None and known.pinned_fingerprint is None:
        await identity_store.pin(db, host_id, presented.material, presented.fingerprint)


def _refused(host: HostView, address: Address, found: str) -> InvalidRequest:
    text = (
        f"The address of {host.name} was not changed to {address.normalised}: {found}. Its machines are on the server "
        f"at {host.address}; give an address of that server, or add the other server as another host."
    )
    return InvalidRequest.of({"power_address": [text]})


def _simulated_name(address: str) -> str:
    return SimulatedAddress.parse(address).identity
