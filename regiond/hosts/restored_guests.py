"""Tells a guest that was restored after the deletion of its machine from a leftover."""

from __future__ import annotations

from attrs import frozen

# A call that was begun before the deletion can create a guest or volume some minutes after it.
STALE_CALL = "interval '15 minutes'"
# Of a guest `g` and the tombstone `t` of its machine: when no call could create it any more, a discovery run did not
# list it, or its server was not known. A row from before the column was there has not reappeared.
REAPPEARED = f"coalesce(g.marker_absent_at > t.recorded_at + {STALE_CALL}, false)"


@frozen(kw_only=True)
class Tombstone:
    """A machine that was deleted or rescheduled, and whose guest was removed.

    `was_composed`: the machine had a guest, which may have held data of users. `guest_key` is the hypervisor's id of
    that guest; None if it is unknown.
    """

    was_composed: bool = True
    guest_key: str | None = None


def is_leftover(tombstone: Tombstone, guest_key: str, *, reappeared: bool) -> bool:
    """Returns whether a call of ours has provably left or created the guest, so that it may be removed unasked.

    Nobody has used a guest whose compose never succeeded. Otherwise the deletion has removed the machine's guest: one
    with another id was created by a call that came late, one with the same id was restored. A backup keeps the id with
    the marker, and libvirt's ids are those of the machines, so they prove no other guest.
    """
    if reappeared:
        return False
    return not tombstone.was_composed or (
        _is_unique(tombstone.guest_key) and _is_unique(guest_key) and guest_key != tombstone.guest_key
    )


def _is_unique(guest_key: str | None) -> bool:
    """Returns whether no other guest gets this id. On LXD servers that assign none it is `PROJECT/NAME`."""
    return guest_key is not None and "/" not in guest_key


def last_run(server: str) -> str:
    """Returns the time of the last discovery run of the server whose id the SQL expression gives.

    Before the first one it is when the server's first host was added.
    """
    return (
        "(select coalesce(max(s.refreshed_at), min(h.created_at)) from vm_host h "  # noqa: S608  a constant
        f"left join vm_host_schedule s on s.host_id = h.id where h.server_id = {server})"
    )
