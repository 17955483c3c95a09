"""Storage volumes: custom ones, and those of instances, which only the listing of a pool shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from rackd.drivers.lxd.inventory.config_values import size_bytes
from tests.lxd_http import backups, operations
from tests.lxd_http.messages import Answer, NotModelled, Refused, Request, etag_of, sync
from tests.lxd_http.releases import FULL_VOLUMES
from tests.lxd_http.state import NEVER, SHARED, STOPPED, VM, Disk, Lxd, Volume


def listing(lxd: Lxd, request: Request, pool: str) -> Answer:
    lxd.check_pool(pool)
    everywhere = request.query.get("all-projects") == "true"
    hides = FULL_VOLUMES in lxd.release.extensions
    custom = [_view(lxd, one) for one in lxd.volumes.values() if one.pool == pool]
    instances = [
        _about(lxd, name, VM, one.project, used_by=[one.url])
        for one in lxd.instances.values()
        for name in (one.name, *(() if hides else (f"{one.name}/{snapshot}" for snapshot in one.snapshots)))
        if any(device.get("path") == "/" and device["pool"] == pool for device in lxd.expanded_devices(one).values())
    ]
    return sync([one for one in custom + instances if everywhere or one["project"] == request.project])


def custom_listing(lxd: Lxd, request: Request, pool: str) -> Answer:
    lxd.check_project(request.project)
    lxd.check_pool(pool)
    found = [one for one in lxd.volumes.values() if (one.pool, one.project) == (pool, request.project)]
    return sync([_view(lxd, one) for one in found])


def read(lxd: Lxd, request: Request, pool: str, name: str) -> Answer:
    found = _find(lxd, request, pool, name)
    return sync(_view(lxd, found), etag=etag_of(found.name, found.config))


def create(lxd: Lxd, request: Request, pool: str) -> Answer:
    lxd.check_project(request.project)
    lxd.check_pool(pool)
    if request.headers.get("content-type") == "application/octet-stream":
        prefix = f"x-{lxd.release.product}-"
        if request.headers.get(f"{prefix}type") == "iso" and "custom_volume_iso" in lxd.release.extensions:
            return _import_iso(lxd, request, pool, request.headers[f"{prefix}name"])
        return backups.import_volume(lxd, request, pool, request.headers[f"{prefix}name"])
    body = request.body()
    name, config = str(body["name"]), dict(body.get("config") or {})
    if "/" in name:
        raise Refused(400, "Storage volume names may not contain slashes")
    if too_long := _too_long(lxd, name):
        raise Refused(400, f"Invalid storage volume name: {too_long}")
    if (request.project, pool, name) in lxd.volumes:
        raise Refused(409, "Volume by that name already exists")
    if body.get("source"):
        return _copy(lxd, request, pool, name, body)
    size = _size(request.project, name, config["size"]) if "size" in config else 0
    lxd.volumes[request.project, pool, name] = Volume(
        pool=pool,
        name=name,
        project=request.project,
        content_type=str(body.get("content_type") or "filesystem"),
        config=config,
        disk=Disk(size_bytes=size),
        member=lxd.other_member(request.query.get("target", "")),
    )
    return sync({})


def _import_iso(lxd: Lxd, request: Request, pool: str, name: str) -> Answer:
    """Any content is accepted."""

    def work() -> None:
        if too_long := _too_long(lxd, name):
            raise Refused(500, f"Invalid volume name: {too_long}")
        if (request.project, pool, name) in lxd.volumes:
            reason = "Cannot create volume, already exists on target storage"
            raise Refused(500, f"Failed creating custom volume from ISO: {reason}")
        size = len(request.content)
        lxd.volumes[request.project, pool, name] = Volume(
            pool=pool, name=name, project=request.project, content_type="iso", config={"size": str(size)},
            disk=Disk(size_bytes=size, content=request.content),
        )  # fmt: skip

    return operations.run(lxd, "Creating storage volume", work)


def _too_long(lxd: Lxd, name: str) -> str:
    limit = lxd.release.max_volume_name
    return f"Maximum name length is {limit} characters" if limit and len(name) > limit else ""


def _copy(lxd: Lxd, request: Request, pool: str, name: str, body: Mapping[str, Any]) -> Answer:
    source = body["source"]
    if source.get("type") != "copy" or body.get("config"):
        raise NotModelled("another source of a volume than a copy as it is")
    found = _find(lxd, request, source["pool"], source["name"])

    def work() -> None:
        disk = Disk(size_bytes=found.disk.size_bytes, content=found.disk.content)
        made = evolve(found, pool=pool, name=name, config=dict(found.config), disk=disk)
        lxd.volumes[request.project, pool, name] = made

    return operations.run(lxd, "Copying storage volume", work)


def patch(lxd: Lxd, request: Request, pool: str, name: str) -> Answer:
    """A volume that a running instance has keeps its size. One of an ISO image keeps all but its description."""
    body = request.body()
    found, config = _find(lxd, request, pool, name), dict(body.get("config") or {})
    if lxd.unpatched:
        lxd.unpatched -= 1
        raise Refused(503, "shutting down")
    if found.content_type == "iso" and config:
        raise Refused(500, "Custom ISO volume config cannot be changed")
    if set(body) == {"description"}:
        found.description = body["description"]
        return sync({})
    if SHARED in config and lxd.release.guards_volumes:
        kept = {key: text for key, text in (found.config | config).items() if text}
        found.config.clear()
        found.config |= kept
        return sync({})
    if set(config) != {"size"}:
        raise NotModelled("another change of a volume than that of its size")
    size = _size(request.project, name, config["size"])
    if size < found.disk.size_bytes:
        raise Refused(500, "Block volumes cannot be shrunk: Cannot be shrunk")
    if size > found.disk.size_bytes and any(one.status_code != STOPPED for one in lxd.having(found)):
        raise Refused(500, "In use")
    found.config["size"] = config["size"]
    found.disk.size_bytes = size
    return sync({})


def delete(lxd: Lxd, request: Request, pool: str, name: str) -> Answer:
    if request.project in lxd.forbidden_projects:
        raise Refused(403, "User does not have permission for project")
    found = _find(lxd, request, pool, name)
    if lxd.undeleted:
        lxd.undeleted -= 1
        raise Refused(503, "shutting down")
    if _users(lxd, found) or name in lxd.hidden_users:
        raise Refused(400, "The storage volume is still in use")
    del lxd.volumes[found.project, found.pool, found.name]
    lxd.forget_backups(found.project, "volumes", found.pool, found.name)
    return sync({})


def _find(lxd: Lxd, request: Request, pool: str, name: str) -> Volume:
    lxd.check_pool(pool)
    found = lxd.volumes.get((request.project, pool, name))
    target = request.query.get("target", "")
    if found is None or (target and found.member != lxd.other_member(target)):
        raise Refused(404, "Storage pool volume not found")
    return found


def _size(project: str, name: str, text: str) -> int:
    try:
        return size_bytes(text)
    except ValueError as error:
        reason = f'Invalid value for volume "{project}_{name}" option "size": Invalid value: {text}'
        raise Refused(500, reason) from error


def _users(lxd: Lxd, volume: Volume) -> list[str]:
    return [one.url for one in lxd.having(volume)]


def _view(lxd: Lxd, one: Volume) -> dict[str, Any]:
    about = _about(lxd, one.name, "custom", one.project, used_by=_users(lxd, one))
    return {
        **about, "config": one.config, "content_type": one.content_type, "description": one.description,
        "created_at": one.created_at, "location": one.member or lxd.location,
    }  # fmt: skip


def _about(lxd: Lxd, name: str, kind: str, project: str, *, used_by: list[str]) -> dict[str, Any]:
    return {
        "config": {}, "description": "", "name": name, "type": kind, "used_by": used_by, "location": lxd.location,
        "content_type": "block", "project": project, "created_at": NEVER,
    }  # fmt: skip
