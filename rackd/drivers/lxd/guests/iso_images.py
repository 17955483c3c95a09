"""Copies ISO images to storage pools, as volumes of a type of their own, and removes them.

All instances of the pool share a copy, which is read-only. The server makes the volume only once it has the whole
image, so that a rack that is killed leaves nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import structlog
from attrs import evolve

from common.deployment_spec import ImageRef
from common.errors import DriverFailed, NotFound, OutOfCapacity, Unsupported
from common.rpc.host_commands import MAX_CALL_S
from rackd.drivers.contract import ImageContent
from rackd.drivers.image_content import verified_parts
from rackd.drivers.lxd.connection.capabilities import extension_of
from rackd.drivers.lxd.connection.client import Client, Scope, path
from rackd.drivers.lxd.guests import volumes
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.project_limits import limits_as_capacity
from rackd.drivers.lxd.inventory.iso_volumes import (
    COMPLETE,
    is_abandoned,
    is_complete,
    is_here,
    iso_volume_name,
    sha256_of_name,
)
from rackd.drivers.lxd.inventory.reader import list_all_projects, visible_projects
from rackd.drivers.lxd.inventory.volume_index import Volume, parse_volume, volume_projects_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_NO_SPACE = "no space left on device"
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
        if sha256_of_name(one.name) == sha256 and is_complete(one) and is_here(one, scope.member)
    )  # fmt: skip
    return min(names, default=None)


def copy(instances: Instances, image: ImageRef, pool_id: str, content: ImageContent) -> None:
    """Returns when the storage pool has the image. Idempotent. Raises Unsupported, NotFound naming a missing storage
    pool, OutOfCapacity, and what `content` raises.
    """
    client, scope = instances.client, instances.scope
    check_supported(instances)
    if find(client, image.sha256, pool_id, scope) is not None:
        return
    _delete(client, image.sha256, pool_id, scope, complete=False)
    volumes.check_space(client, [(pool_id, image.size_bytes)], scope, what="The ISO image needs")
    name = iso_volume_name(image.sha256, secrets.token_hex(_SUFFIX_BYTES))
    pool, prefix = path("storage-pools", pool_id, "volumes", "custom"), client.dialect.header_prefix
    where = {"project": scope.project, "target": scope.member or ""}
    with _space_in(pool_id, image), limits_as_capacity():
        client.upload(
            pool,
            verified_parts(image, content),
            {"Content-Type": "application/octet-stream", f"{prefix}name": name, f"{prefix}type": "iso"},
            wait_s=MAX_CALL_S, **where,
        )  # fmt: skip
    client.patch(f"{pool}/{path(name)}", {"description": COMPLETE}, **where)
    log.info("image_copied", sha256=image.sha256, pool=pool_id, volume=name, size_bytes=image.size_bytes)


def remove(client: Client, sha256: str, pool_id: str, scope: Scope) -> None:
    """Deletes the copies in the storage pool that no instance has, in all projects. Idempotent.

    One that an upload may be filling stays.
    """
    _delete(client, sha256, pool_id, scope, complete=True)


def _delete(client: Client, sha256: str, pool_id: str, scope: Scope, *, complete: bool) -> None:
    """Deletes what is left of broken copies, and complete copies only if `complete`."""
    now = datetime.now(UTC)
    projects = visible_projects(client, scope.project)
    own_project = volume_projects_of(projects).get(scope.project)
    for volume in _volumes(client, sha256, pool_id, scope, [str(one["name"]) for one in projects]):
        if volume.attached:
            log.warning("image_in_use", sha256=sha256, pool=pool_id, volume=volume.name)
        elif is_abandoned(volume, now) or (complete and is_complete(volume)):
            # A restricted certificate may not use the project in which the volumes of its own one can be.
            through = scope if volume.project == own_project else evolve(scope, project=volume.project)
            volumes.delete_volume(client, volume, through)
            log.info("image_removed", sha256=sha256, pool=pool_id, volume=volume.name)


def _volumes(client: Client, sha256: str, pool_id: str, scope: Scope, projects: Iterable[str]) -> list[Volume]:
    """Returns the volumes of this image on this server, in these projects."""
    try:
        listed = list_all_projects(client, path("storage-pools", pool_id, "volumes"), projects)
    except NotFound:
        return []
    found = (parse_volume(one, pool_id) for one in listed if sha256_of_name(str(one["name"])) == sha256)
    different = {(one.project, one.name): one for one in found if is_here(one, scope.member)}
    return list(different.values())


@contextmanager
def _space_in(pool_id: str, image: ImageRef) -> Iterator[None]:
    try:
        yield
    except DriverFailed as error:
        if _NO_SPACE in str(error).lower():
            raise OutOfCapacity(
                f"The storage pool {pool_id}, or the folder in which its server keeps what it imports, has no space "
                f"for an ISO image of {image.size_bytes} bytes: {error}",
                pool_id=pool_id,
                requested_bytes=image.size_bytes,
            ) from error
        raise
