"""Pins the new certificate or host key of a host whose change a person has accepted."""

from __future__ import annotations

from common.values import DriverType, PeerIdentity
from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.hosts.address import identity_store
from regiond.hosts.model import HostView
from regiond.requests.caller import Caller


async def accept_identity(db: Db, caller: Caller, host: HostView, presented: PeerIdentity) -> None:
    """Pins `presented` for the host and for all hosts of the same server; its machines remain. Idempotent."""
    if host.driver is DriverType.LXD and host.pinned_fingerprint is not None:
        await identity_store.migrate_identity(db, host.id, host.pinned_fingerprint, presented.fingerprint)
    await identity_store.pin_shared(db, host.id, presented.material, presented.fingerprint)
    await identity_store.expect_identity(db, host.id, presented.fingerprint, None)
    message = f"{host.name}: accepted the {presented.kind} {presented.fingerprint}"
    if host.pinned_fingerprint not in (None, presented.fingerprint):
        message += f" instead of {host.pinned_fingerprint}"
    await Events.record(db, "host_identity_accepted", message, caller=caller, host_id=host.id)
