"""The storage pool and volume at a path on a host."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from rackd.drivers.libvirt.definitions.disk_xml import normalised
from rackd.drivers.libvirt.xml import Element, text_at


@frozen(kw_only=True)
class PoolPaths:
    """The target path, normalised, and id of each storage pool; the path also by the pool's name."""

    paths: tuple[tuple[str, str], ...]
    by_name: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of(cls, pools: Iterable[Element]) -> PoolPaths:
        found = [(normalised(text_at(pool, "target/path")), pool) for pool in pools]
        return cls(
            paths=tuple((path, text_at(pool, "uuid")) for path, pool in found),
            by_name={text_at(pool, "name"): path for path, pool in found if path},
        )

    def path_in(self, pool_name: str, volume: str) -> str | None:
        """Returns the path of a volume; None if there is no pool of this name."""
        folder = self.by_name.get(pool_name)
        return None if folder is None else posixpath.join(folder, volume)

    def pool_at(self, path: str) -> str | None:
        """Returns the id of the pool that contains `path`; of nested pools the innermost."""
        found = self._innermost(normalised(path))
        return None if found is None else found[1]

    def volume_at(self, path: str) -> tuple[str, str | None] | None:
        """Returns (pool id, volume name).

        A file in a folder inside the pool takes space there, but is no volume (None): the pool can have another file of
        its name.
        """
        path = normalised(path)
        found = self._innermost(path)
        if found is None:
            return None
        folder, name = posixpath.split(path)
        return found[1], name if folder == found[0] else None

    def _innermost(self, path: str) -> tuple[str, str] | None:
        containing = (one for one in self.paths if one[0] and path.startswith(one[0].rstrip("/") + "/"))
        return max(containing, key=lambda one: (len(one[0]), one[1]), default=None)
