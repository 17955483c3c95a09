"""Indexes storage volumes, so that an instance's disk devices can be resolved to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from attrs import field, frozen

from rackd.drivers.lxd.inventory.config_values import is_true, size_bytes
from rackd.drivers.lxd.inventory.ownership import DEFAULT_PROJECT, Json


@frozen(kw_only=True)
class Volume:
    """A storage volume of any type in the listing of its pool."""

    pool: str
    project: str
    type: str
    name: str
    location: str
    block: bool
    size_bytes: int
    used_by: tuple[str, ...]  # the URLs of instances, their snapshots, and profiles
    description: str = ""
    created_at: str = ""  # a time in UTC, as the server writes it

    @property
    def attached(self) -> bool:
        return bool(self.used_by)

    def has_others_than(self, instance: Json) -> bool:
        """Returns whether anything but this instance and its snapshots uses the volume."""
        own = ("instances", str(instance["name"])), str(instance.get("project") or DEFAULT_PROJECT)
        return any(_user_of(url) != own for url in self.used_by)

    def is_on(self, member: str | None) -> bool:
        """Returns whether the volume is on this member of a cluster (None: outside one), or all of them share it."""
        return member is None or self.location in {member, "", "none"}


@frozen
class VolumeIndex:
    """The custom volumes, by pool, project and name."""

    _volumes: Mapping[tuple[str, str, str], tuple[Volume, ...]] = field(factory=dict)
    _volume_projects: Mapping[str, str] = field(factory=dict)
    _default_sizes: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of(
        cls, volumes: Iterable[Volume], volume_projects: Mapping[str, str], pools: Iterable[Json] = ()
    ) -> VolumeIndex:
        """`volume_projects` maps each project to the one that holds its custom volumes. `pools` have the sizes of
        disks that have none of their own.
        """
        found: dict[tuple[str, str, str], tuple[Volume, ...]] = {}
        for volume in volumes:
            if volume.type == "custom":
                key = volume.pool, volume.project, volume.name
                found[key] = (*found.get(key, ()), volume)
        return cls(found, volume_projects, {str(one["name"]): default_size_of(one) for one in pools})

    def default_size(self, pool: str) -> str:
        """Returns the size of a root disk in this pool that has none of its own; empty without one."""
        return self._default_sizes.get(pool, "")

    def find(self, instance: Json, pool: str, name: str) -> Volume | None:
        """Prefers the volume on the instance's own cluster member: each member may have one of that name."""
        project = str(instance.get("project") or DEFAULT_PROJECT)
        named = self._volumes.get((pool, self._volume_projects.get(project, project), name), ())
        local = [volume for volume in named if volume.location == instance.get("location")]
        return next(iter(local or named), None)


def default_size_of(pool: Json) -> str:
    return str((pool.get("config") or {}).get("volume.size") or "")


def volume_projects_of(projects: Iterable[Json]) -> Mapping[str, str]:
    """Maps each project to the one that holds its custom volumes."""
    return {str(project["name"]): _volume_project(project) for project in projects}


def usable_volumes(volumes: Iterable[Volume], projects: Iterable[Json]) -> list[Volume]:
    """Returns those that the certificate may use, to which the server lists these projects.

    Incus also lists the custom volumes of its default project to a certificate that may not use them.
    """
    usable = set(volume_projects_of(projects).values())
    return [one for one in volumes if one.type != "custom" or one.project in usable]


def _volume_project(project: Json) -> str:
    separate = is_true((project.get("config") or {}).get("features.storage.volumes"))
    return str(project["name"]) if separate else DEFAULT_PROJECT


def _user_of(url: str) -> tuple[tuple[str, ...], str]:
    """Returns kind and name, and the project: of a profile or an instance, also for the URL of a snapshot of it."""
    parts = urlsplit(url)
    names = parts.path.strip("/").split("/")[1:3]
    return tuple(map(unquote, names)), parse_qs(parts.query).get("project", [DEFAULT_PROJECT])[0]


def parse_volume(response: Json, pool: str) -> Volume:
    """Raises ValueError for a malformed size. A volume without a size (a container's directory) has 0 bytes."""
    size = (response.get("config") or {}).get("size")
    return Volume(
        pool=pool,
        project=str(response.get("project") or DEFAULT_PROJECT),
        type=str(response["type"]),
        name=str(response["name"]),
        location=str(response.get("location") or ""),
        block=response.get("content_type") == "block",
        size_bytes=size_bytes(size) if size else 0,
        used_by=tuple(map(str, response.get("used_by") or ())),
        description=str(response.get("description") or ""),
        created_at=str(response.get("created_at") or ""),
    )
