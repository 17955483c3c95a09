"""Creates instances: empty ones, copies of others, and ones with an image on their root disk."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

from tests.lxd_http import images, operations
from tests.lxd_http.devices import (
    check_config,
    check_devices,
    check_disks,
    check_root,
    check_types,
    root_bytes,
    root_of,
    without_empty,
)
from tests.lxd_http.messages import Answer, NotModelled, Refused, Request
from tests.lxd_http.state import STOPPED, VM, Disk, Instance, Lxd

_BASE_IMAGE = "volatile.base_image"
_NAME = re.compile(r"[A-Za-z0-9-]{1,63}", re.ASCII)


def create(lxd: Lxd, request: Request) -> Answer:
    lxd.check_project(request.project)
    lxd.check_leader(request.project)
    body = request.body()
    name, source = str(body["name"]), body["source"]
    if body["type"] != VM:
        raise NotModelled("containers")
    for profile in body.get("profiles", ["default"]):
        if profile not in lxd.profiles:
            raise Refused(500, f'Requested profile "{profile}" doesn\'t exist')
    if source.get("type") not in {"none", "image", "copy"}:
        raise Refused(400, f"Unknown source type {source.get('type', '')}")
    member = lxd.other_member(request.query.get("target", ""))
    if not _NAME.fullmatch(name):
        raise Refused(400, "Invalid instance name: Name can only contain alphanumeric and hyphen characters")
    return operations.run(
        lxd,
        "Creating instance",
        lambda: _create(lxd, request.project, body, member),
        {"instances": [f"/1.0/instances/{name}"]},
    )


def _create(lxd: Lxd, project: str, body: dict[str, Any], member: str) -> None:
    source = body["source"]
    image = images.source(lxd, project, source["fingerprint"]) if source["type"] == "image" else None
    original = _original(lxd, project, source) if source["type"] == "copy" else None
    if original is not None:
        body = {**body, "config": {**_copied(original.config), **(body.get("config") or {})}}
        body["devices"] = {**original.devices, **(body.get("devices") or {})}
    one = Instance(
        name=body["name"],
        project=project,
        architecture=body.get("architecture") or "x86_64",
        description=body.get("description", ""),
        profiles=list(body.get("profiles", ["default"])),
        config={key: text for key, text in (body.get("config") or {}).items() if text},
        devices=without_empty(body.get("devices") or {}),
        root=Disk(size_bytes=0),
        member=member,
        ephemeral=bool(body.get("ephemeral")),
    )
    try:
        _check_new(lxd, one)
    except Refused as refused:
        raise Refused(refused.status, f"Failed creating instance record: {refused.message}") from refused
    one.root = Disk(size_bytes=root_bytes(root_of(lxd.expanded_devices(one)) or {}))
    if image is not None:
        one.root.content = images.unpacked(image, one.root.size_bytes)
        one.config |= {f"image.{key}": text for key, text in image.properties.items()}
        one.config[_BASE_IMAGE] = image.fingerprint
    if original is not None:
        if one.root.size_bytes != original.root.size_bytes:
            raise NotModelled("a copy of another size")
        one.root.content = original.root.content
    one.config = {**_assigned(one), **one.config}
    lxd.instances[project, one.name] = one
    lxd.report("created", one, {"storage-pool": "default", "type": VM})


def rebuild(lxd: Lxd, request: Request, name: str) -> Answer:
    """Another root disk, of the same size: the instance and its further disks stay."""
    if "instances_rebuild" not in lxd.release.extensions:
        raise Refused(404, "not found")
    one, source = lxd.instance(name, request.project), request.body()["source"]
    if source["type"] not in {"none", "image"}:
        raise NotModelled("a rebuild from another source")

    def work() -> None:
        if one.status_code != STOPPED:
            raise Refused(400, "Instance must be stopped to be rebuilt")
        if one.snapshots:
            raise Refused(400, "Cannot rebuild instance with snapshots")
        image = images.source(lxd, request.project, source["fingerprint"]) if source["type"] == "image" else None
        kept = {key: text for key, text in one.config.items() if not key.startswith("image.") and key != _BASE_IMAGE}
        size_bytes = root_bytes(root_of(lxd.expanded_devices(one)) or {})
        one.root, one.config = Disk(size_bytes=size_bytes), kept
        if image is not None:
            one.root.content = images.unpacked(image, size_bytes)
            found = {f"image.{key}": text for key, text in image.properties.items()}
            one.config = {**kept, **found, _BASE_IMAGE: image.fingerprint}

    return operations.run(lxd, "Rebuilding instance", work, {"instances": [f"/1.0/instances/{name}"]})


def _original(lxd: Lxd, project: str, source: dict[str, Any]) -> Instance:
    if not source.get("instance_only"):
        raise NotModelled("a copy with snapshots")
    one = lxd.instance(source["source"], project)
    if one.status_code != STOPPED:
        raise NotModelled("a copy of a running instance")
    return one


def _copied(config: dict[str, str]) -> dict[str, str]:
    """LXD gives a copy the keys of its source that the request does not name, but not what it has assigned."""
    return {key: text for key, text in config.items() if not key.startswith("volatile.") or key == _BASE_IMAGE}


def _check_new(lxd: Lxd, one: Instance) -> None:
    check_config(lxd, one.config)
    check_types(one.devices)
    if (one.project, one.name) in lxd.instances:
        raise Refused(409, 'Add instance info to the database: This "instances" entry already exists')
    try:
        check_devices(lxd, one)
        check_root(lxd, one)
        check_disks(lxd, one.project, one.devices, of=one)
    except Refused as refused:
        raise Refused(refused.status, f"Failed initialising instance: {refused.message}") from refused


def _assigned(one: Instance) -> dict[str, str]:
    """What LXD adds to the config of a new instance; a given value stays."""
    nics = [name for name, device in one.devices.items() if device["type"] == "nic" and "hwaddr" not in device]
    return {
        "volatile.uuid": str(uuid4()),
        "volatile.cloud-init.instance-id": str(uuid4()),
        "volatile.apply_template": "create",
        **{
            f"volatile.{name}.hwaddr": f"00:16:3e:{uuid4().hex[:2]}:{number:02x}:01" for number, name in enumerate(nics)
        },
    }
