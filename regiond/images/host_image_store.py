"""SQL of images that are stored on VM hosts only. Functions join the caller's transaction."""

from __future__ import annotations

from attrs import frozen

from regiond.db.pool import Db
from regiond.images.model import Image
from regiond.images.store import SELECT, image_of

_LOCK_HOST = "select true from vm_host where id = $1 and state <> 'removing' for key share"
_INSERT = """
    insert into image (name, title, architecture, subarch, sha256, size_bytes, virtual_size_bytes, host_id, alias,
                       account_id, state, format)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'ready', 'qcow2')
    returning id
"""
# The members of an LXD cluster share the image store of a project.
_OTHER_HOST = """
    select o.id from vm_host h join vm_host o on o.id <> h.id and o.cluster_id = h.cluster_id and o.project = h.project
     where h.id = $1 and o.state <> 'removing' order by o.id limit 1
"""
_ON_HOST = SELECT + " where host_id = $1 order by name, architecture"
_MOVE = "update image set host_id = $2 where host_id = $1"
_DELETE = "delete from image where host_id = $1"


@frozen(kw_only=True)
class NewHostImage:
    """An entry of the catalogue that is to be added; see `Image`."""

    name: str
    title: str
    architecture: str
    subarch: str
    fingerprint: str
    size_bytes: int
    virtual_size_bytes: int | None
    host_id: int
    alias: str | None


async def lock_host(db: Db, host_id: int) -> bool:
    """Locks the host until the transaction ends. Returns False if the host is being removed, or was removed."""
    return bool(await db.fetchval(_LOCK_HOST, host_id))


async def insert(db: Db, new: NewHostImage, *, account_id: int) -> int:
    """Inserts the entry, in format qcow2: only LXD has such images, and it accepts disks of VMs as qcow2 only."""
    image_id: int = await db.fetchval(
        _INSERT, new.name, new.title, new.architecture, new.subarch, new.fingerprint, new.size_bytes,
        new.virtual_size_bytes, new.host_id, new.alias, account_id,
    )  # fmt: skip
    return image_id


async def list_of_host(db: Db, host_id: int) -> tuple[Image, ...]:
    return tuple(image_of(row) for row in await db.fetch(_ON_HOST, host_id))


async def leave_host(db: Db, host_id: int) -> tuple[Image, ...]:
    """Assigns the images of the host to another member of its cluster, or deletes them; returns the deleted ones.

    Call it before the host is deleted.
    """
    other = await db.fetchval(_OTHER_HOST, host_id)
    if other is not None:
        await db.execute(_MOVE, host_id, other)
        return ()
    found = await list_of_host(db, host_id)
    await db.execute(_DELETE, host_id)
    return found
