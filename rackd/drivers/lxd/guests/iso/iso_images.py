"""Copies ISO images to storage pools, as volumes of a type of their own, and removes them.

All instances of the pool share a copy, which is read-only. The server makes the volume only once it has the whole
image: a rack that is killed during the upload leaves nothing. One that is killed before it has described the volume as
complete leaves it as a broken copy, which is deleted after some hours; what a rack that lives failed to complete, it
deletes itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import structlog
from attrs import define, evolve, field

from common.errors import DriverFailed, InnkeeperError, NotFound, OutOfCapacity, Unsupported
from common.guests.deployment_spec import ImageRef
from common.rpc.commands.host_commands import MAX_CALL_S
from rackd.drivers.contract import ImageContent
from rackd.drivers.driver_errors import reject_volumes_in_use
from rackd.drivers.image_content import verified_parts
from rackd.drivers.lxd.connection.capabilities import extension_of
from rackd.drivers.lxd.connection.client import Client, Json, Scope, path
from rackd.drivers.lxd.connection.failures import NoSpace, NotAuthorized
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.guests.disks.volumes import CreatedVolume
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.project_limits import limits_as_capacity
from rackd.drivers.lxd.inventory.iso_volumes import (
    COMPLETE,
    is_abandoned,
    is_complete,
    iso_volume_name,
    sha256_of_name,
)
from rackd.drivers.lxd.inventory.reader import list_all_projects, visible_projects
from rackd.drivers.lxd.inventory.volume_index import Volume, parse_volume, usable_volumes, volume_projects_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_IN_USE = "in use"
_SUFFIX_BYTES = 2


def check_supported(instances: Instances) -> None:
    """Raises Unsupported for a server that has no volumes of ISO images."""
    if not instances.capabilities.iso_volumes:
        raise Unsupported(
            f"{instances.client.place} has no storage volumes of ISO images (API extension "
            f"{extension_of('iso_volumes')}), and a VM can have an ISO image from nowhere else that Innkeeper can "
            f"write to. Newer releases of {instances.product} have them."
        )


def find(client: Client, sha256: str, pool_id: str, scope: Scope) -> str | None:
    """Returns the name of a volume with a complete copy, which instances of the scope can use; None without one.

    Raises NotFound naming a missing storage pool.
    """
    client.get(path("storage-pools", pool_id))
    where = path("storage-pools", pool_id, "volumes", "custom")
    found = (parse_volume(one, pool_id) for one in client.get(where, recursion="1", project=scope.project))
    names = (
        one.name for one in found
        if sha256_of_name(one.name) == sha256 and is_complete(one) and one.is_on(scope.member)
    )  # fmt: skip
    return min(names, default=None)


@define
class FailedCopies:
    """Volumes that this rack could not complete, of one host: the server may have made them, or do so yet."""

    _volumes: dict[tuple[str, str], set[CreatedVolume]] = field(factory=dict, init=False)

    def add(self, sha256: str, *volumes: CreatedVolume) -> None:
        for volume in volumes:
            self._volumes.setdefault((sha256, volume.pool), set()).add(volume)

    def taken(self, sha256: str, pool_id: str) -> set[CreatedVolume]:
        """Returns those of the image in this storage pool, once."""
        return self._volumes.pop((sha256, pool_id), set())


def copy(
    instances: Instances, image: ImageRef, pool_id: str, content: ImageContent, failed: FailedCopies
) -> None:  # fmt: skip
    """Returns when the storage pool has the image. Idempotent. Raises Unsupported, NotFound naming a missing storage
    pool, OutOfCapacity, and what `content` raises.

    Deletes what it could not complete, and with the next attempt what it could not delete.
    """
    client, scope = instances.client, instances.scope
    check_supported(instances)
    if find(client, image.sha256, pool_id, scope) is not None:
        return
    earlier = failed.taken(image.sha256, pool_id)
    failed.add(image.sha256, *volumes.undo(client, earlier, scope))
    _delete(client, image.sha256, pool_id, scope, complete=False)
    volumes.check_space(client, [(pool_id, image.size_bytes)], scope, what="The ISO image needs")
    name = iso_volume_name(image.sha256, secrets.token_hex(_SUFFIX_BYTES))
    pool, prefix = path("storage-pools", pool_id, "volumes", "custom"), client.dialect.header_prefix
    where = {"project": scope.project, "target": scope.member or ""}
    made = CreatedVolume(pool=pool_id, name=name, location=scope.member or "")
    try:
        with _space_in(pool_id, image), limits_as_capacity():
            client.upload(
                pool,
                verified_parts(image, content),
                {"Content-Type": "application/octet-stream", f"{prefix}name": name, f"{prefix}type": "iso"},
                wait_s=MAX_CALL_S, **where,
            )  # fmt: skip
        client.patch(f"{pool}/{path(name)}", {"description": COMPLETE}, **where)
    except BaseException:
        failed.add(image.sha256, made)
        volumes.undo(client, [made], scope)
        raise
    log.info("image_copied", sha256=image.sha256, pool=pool_id, volume=name, size_bytes=image.size_bytes)


def remove(client: Client, sha256: str, pool_id: str, scope: Scope) -> None:
    """Deletes the copies in the storage pool that no instance has, in all projects. Idempotent.

    One that an upload may be filling stays. Once it has deleted the others, raises WrongState if an instance has one,
    and the error of the server for one that it refuses to delete.
    """
    left = _delete(client, sha256, pool_id, scope, complete=True)
    reject_volumes_in_use({(pool_id, name): ["an instance"] for name, refusal in left.items() if refusal is None})
    for refusal in left.values():
        if refusal is not None:
            raise refusal


def _delete(
    client: Client, sha256: str, pool_id: str, scope: Scope, *, complete: bool
) -> dict[str, InnkeeperError | None]:  # fmt: skip
    """Deletes what is left of broken copies, and complete copies only if `complete`.

    Returns the names of those that stay, with the reason of the server; None: an instance has it.
    """
    now, left = datetime.now(UTC), dict[str, InnkeeperError | None]()
    projects = visible_projects(client, scope.project)
    for volume in _volumes(client, sha256, pool_id, scope, projects):
        if not (is_abandoned(volume, now) or (complete and (volume.attached or is_complete(volume)))):
            continue
        refusal: InnkeeperError | None = None
        try:
            in_use = volume.attached
            if not in_use:
                volumes.delete_volume(client, volume, _through(volume, projects, scope))
        except (DriverFailed, NotAuthorized) as error:
            # A certificate does not see all users of a volume.
            in_use = _IN_USE in str(error).lower()
            refusal = None if in_use else error
        about = {"sha256": sha256, "pool": pool_id, "volume": volume.name}
        if in_use:
            log.warning("image_in_use", **about)
            left[volume.name] = None
        elif refusal is not None:
            log.warning("image_not_removed", reason=str(refusal), **about)
            left[volume.name] = refusal
        else:
            log.info("image_removed", **about)
    return left


def _through(volume: Volume, projects: Iterable[Json], scope: Scope) -> Scope:
    """Returns the scope in which the volume is deleted, with a project that keeps its volumes where this one is.

    A restricted certificate may not use the project in which the volumes of its own one can be.
    """
    sharing = [name for name, holder in volume_projects_of(projects).items() if holder == volume.project]
    return scope if scope.project in sharing else evolve(scope, project=min(sharing))


def _volumes(client: Client, sha256: str, pool_id: str, scope: Scope, projects: Sequence[Json]) -> list[Volume]:
    """Returns the volumes of this image on this server, in these projects."""
    names = [str(one["name"]) for one in projects]
    try:
        listed = list_all_projects(client, path("storage-pools", pool_id, "volumes"), names)
    except NotFound:
        return []
    parsed = (parse_volume(one, pool_id) for one in listed if sha256_of_name(str(one["name"])) == sha256)
    found = usable_volumes(parsed, projects)
    return list({(one.project, one.name): one for one in found if one.is_on(scope.member)}.values())


@contextmanager
def _space_in(pool_id: str, image: ImageRef) -> Iterator[None]:
    try:
        yield
    except NoSpace as error:
        raise OutOfCapacity(
            f"The storage pool {pool_id}, or the folder in which its server keeps what it imports, has no space "
            f"for an ISO image of {image.size_bytes} bytes: {error}",
            pool_id=pool_id,
            requested_bytes=image.size_bytes,
        ) from error
