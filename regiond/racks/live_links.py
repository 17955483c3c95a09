"""The open links of this region process, by rack."""

from __future__ import annotations

from uuid import UUID

from common.rpc.link import Link


class LiveLinks:
    """At most one link per rack: a new one replaces and closes the old one."""

    def __init__(self) -> None:
        self._links: dict[UUID, Link] = {}

    def add(self, rack_id: UUID, link: Link) -> None:
        old = self._links.get(rack_id)
        self._links[rack_id] = link
        if old is not None and old is not link:
            old.close("the rack opened a newer link")

    def remove(self, rack_id: UUID, link: Link) -> None:
        """Removes the link; a newer link of the same rack stays. Idempotent."""
        if self._links.get(rack_id) is link:
            del self._links[rack_id]

    def get(self, rack_id: UUID) -> Link | None:
        link = self._links.get(rack_id)
        return link if link is not None and link.is_open else None

    @property
    def rack_ids(self) -> tuple[UUID, ...]:
        return tuple(self._links)
