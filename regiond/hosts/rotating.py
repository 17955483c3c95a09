"""Opens rotations: one at a time for each LXD server, whichever of its hosts it was asked of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import Unsupported, WrongState
from common.values import DriverType
from regiond.accounts.model import Caller
from regiond.credentials import key_pair_store
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.service import Credentials
from regiond.events.service import Events
from regiond.hosts.model import HostView
from regiond.hosts.rotation import ROTATION_PASSWORD
from regiond.operations import store as operation_store
from regiond.operations.model import OperationKind

if TYPE_CHECKING:
    from regiond.db.pool import Db

MAX_FAILURES = 200  # over an hour and a half: a server that is being restarted is no reason to give up


async def open_rotation(db: Db, caller: Caller, host: HostView, credentials: Credentials, password: str | None) -> int:
    """The id of the operation, new or the one under way, inside the caller's transaction.

    Raises Unsupported for a host without such credentials, WrongState for one that was never trusted or whose pair a
    person brought.
    """
    pair_id = await key_pair_store.of_host(db, host.id)
    if host.driver is not DriverType.LXD or pair_id is None:
        raise Unsupported(f"{host.name} is no LXD host: it has no key pair to rotate.")
    if host.total is None:
        raise WrongState(f"{host.name} has not been reached yet: there is nothing to rotate before it trusts us.")
    await key_pair_store.lock(db, pair_id)
    pair = await KeyPairs.view(db, pair_id)
    sharing = await key_pair_store.hosts(db, pair_id)
    for host_id in sharing:
        active = await operation_store.active(db, OperationKind.ROTATE, host_id=host_id)
        if active is not None:
            return active.id
    if pair.imported:
        raise WrongState(
            f"The certificate of {host.name} was brought by a person: update the host with a new certificate and key."
        )
    if password:
        await credentials.store(db, host.id, {ROTATION_PASSWORD: password})
    await Events.record(db, "rotation_asked", f"{host.name} gets new credentials", caller=caller, host_id=host.id)
    return await operation_store.insert(
        db, OperationKind.ROTATE, host_id=host.id, host_name=host.name, account_id=caller.account_id,
        request={"key_pair": pair_id}, max_failures=MAX_FAILURES,
    )  # fmt: skip
