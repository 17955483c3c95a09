"""SQL that tells a guest restored after the deletion of its machine from a leftover."""

from __future__ import annotations

# A call that was begun before the deletion can create a guest or volume some minutes after it.
STALE_CALL = "interval '15 minutes'"
# Of a guest `g` and the tombstone `t` of its machine: when no call could create it any more, a discovery run did not
# list it, or its server was not known. A row from before the column was there is a leftover's.
REAPPEARED = f"coalesce(g.marker_absent_at > t.recorded_at + {STALE_CALL}, false)"


def last_run(server: str) -> str:
    """Returns the time of the last discovery run of the server whose id the SQL expression gives.

    Before the first one it is when the server's first host was added.
    """
    return (
        "(select coalesce(max(s.refreshed_at), min(h.created_at)) from vm_host h "  # noqa: S608  a constant
        f"left join vm_host_schedule s on s.host_id = h.id where h.server_id = {server})"
    )
