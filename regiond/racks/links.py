"""The links that this region process holds right now, by rack."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from common.rpc.link import Link


class LiveLinks:
    """One link a rack: a rack that dials again replaces its old link."""

    def __init__(self) -> None:
        self._links: dict[UUID, Link] = {}
        self.on_up: list[Callable[[UUID, Link], None]] = []
        self.on_down: list[Callable[[UUID, Link], None]] = []

    def up(self, rack_id: UUID, link: Link) -> None:
        old = self._links.get(rack_id)
        self._links[rack_id] = link
        if old is not None and old is not link:
            old.close("the rack opened a newer link")
        for told in self.on_up:
            told(rack_id, link)

    def down(self, rack_id: UUID, link: Link) -> None:
        if self._links.get(rack_id) is link:
            del self._links[rack_id]
        for told in self.on_down:
            told(rack_id, link)

    def get(self, rack_id: UUID) -> Link | None:
        link = self._links.get(rack_id)
        return link if link is not None and link.is_open else None

    @property
    def rack_ids(self) -> tuple[UUID, ...]:
        return tuple(self._links)
