"""The open links of this region process, by rack."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from common.rpc.link import Link


class LiveLinks:
    """At most one link per rack: a new one replaces and closes the old one."""

    def __init__(self) -> None:
        self._links: dict[UUID, Link] = {}

    def add(self, rack_id: UUID, link: Link) -> None:
        """Adds a link, which closes the rack's older one."""
        old = self._links.get(rack_id)
        self._links[rack_id] = link
        if old is not None and old is not link:
            old.close("the rack opened a newer link")

    def remove(self, rack_id: UUID, link: Link) -> None:
        """Removes the link; a newer link of the same rack stays. Idempotent."""
        if self._links.get(rack_id) is link:
            del self._links[rack_id]

    def get(self, rack_id: UUID) -> Link | None:
        """Returns the rack's link, None if it has none or its link has ended."""
        link = self._links.get(rack_id)
        return link if link is not None and link.is_open else None

    @property
    def open(self) -> Mapping[UUID, Link]:
        """The links that have not ended, by rack. A link that has ended stays in memory until `remove`."""
        return {rack_id: link for rack_id, link in self._links.items() if link.is_open}
