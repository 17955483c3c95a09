"""Instances: listed, changed, renamed and deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from attrs import evolve

from rackd.drivers.lxd.inventory.config_values import is_true
from tests.lxd_http import live_changes, nic_slots, operations
from tests.lxd_http.devices import (
    check_config,
    check_devices,
    check_disks,
    check_root_stays,
    check_shareable,
    root_bytes,
    root_of,
    without_empty,
)
from tests.lxd_http.messages import Answer, NotModelled, Refused, Request, check_etag, etag_of, sync
from tests.lxd_http.power import check_nics, forget, state_of
from tests.lxd_http.releases import SELECTIVE
from tests.lxd_http.state import APPLY_QUOTA, NEVER_USED, STATUS, STOPPED, VM, Instance, Lxd, now, url_of


def listing(lxd: Lxd, request: Request) -> Answer:
    everywhere = request.query.get("all-projects") == "true"
    found = [one for _, one in sorted(lxd.instances.items()) if everywhere or one.project == request.project]
    if not request.recursion:
        return sync([one.url for one in found])
    wanted = _filter(request.query.get("filter", ""))
    shown = [one for one in (_view(lxd, one) for one in found) if wanted(one)]
    if request.recursion > 1:
        left_out = {part: None for part in ("disk", "network") if f"state.{part}" not in request.state_fields}
        if left_out and SELECTIVE not in lxd.release.extensions:
            raise Refused(400, f"Invalid recursion value: {request.query['recursion']!r}")
        states = {(one.project, one.name): {**state_of(lxd, one), **left_out} for one in found}
        names = {(one.project, one.name): [{"name": snapshot} for snapshot in one.snapshots] for one in found}
        keys = [(one["project"], one["name"]) for one in shown]
        shown = [
            {**one, "state": states[key], "snapshots": names[key] or None} for one, key in zip(shown, keys, strict=True)
        ]
    return sync(shown)


def read(lxd: Lxd, request: Request, name: str) -> Answer:
    found = lxd.instance(name, request.project)
    return sync(_view(lxd, found), etag=_etag(found))


def snapshots(lxd: Lxd, request: Request, name: str) -> Answer:
    """A snapshot is a name only."""
    one = lxd.instance(name, request.project)
    return sync([url_of("instances", f"{name}/snapshots/{snapshot}", one.project) for snapshot in one.snapshots])


def create_snapshot(lxd: Lxd, request: Request, name: str) -> Answer:
    one, snapshot = lxd.instance(name, request.project), str(request.body()["name"])
    return operations.run(
        lxd, "Snapshotting instance", lambda: one.snapshots.append(snapshot), {"instances": [f"/1.0/instances/{name}"]}
    )


def delete_snapshot(lxd: Lxd, request: Request, name: str, snapshot: str) -> Answer:
    one = lxd.instance(name, request.project)
    return operations.run(
        lxd, "Deleting snapshot", lambda: one.snapshots.remove(snapshot), {"instances": [f"/1.0/instances/{name}"]}
    )


def replace(lxd: Lxd, request: Request, name: str) -> Answer:
    """`PUT`: config and devices that the body lacks are removed."""
    one, body = lxd.instance(name, request.project), request.body()
    check_etag(request, _etag(one))
    _check_idle(lxd, name)
    changed = evolve(
        one,
        architecture=body.get("architecture") or one.architecture,
        description=body.get("description", ""),
        ephemeral=bool(body.get("ephemeral")),
        profiles=list(body.get("profiles") or ()),
        config={key: text for key, text in (body.get("config") or {}).items() if text},
        devices=without_empty(body.get("devices") or {}),
    )
    return operations.run(
        lxd, "Updating instance", lambda: _change(lxd, one, changed), {"instances": [f"/1.0/instances/{name}"]}
    )


def patch(lxd: Lxd, request: Request, name: str) -> Answer:
    """Adds to config and devices; an empty value removes a key of the config. A missing description is an empty one."""
    one, body = lxd.instance(name, request.project), request.body()
    check_etag(request, _etag(one))
    _check_idle(lxd, name)
    config = {**one.config, **(body.get("config") or {})}
    changed = evolve(
        one,
        description=body.get("description") or "",
        ephemeral=bool(body.get("ephemeral", one.ephemeral)),
        config={key: text for key, text in config.items() if text},
        devices={**one.devices, **without_empty(body.get("devices") or {})},
    )
    _change(lxd, one, changed)
    return sync({})


def _check_idle(lxd: Lxd, name: str) -> None:
    if name in lxd.busy:
        raise Refused(500, 'Failed to create instance update operation: Instance is busy running a "restart" operation')


def _change(lxd: Lxd, one: Instance, changed: Instance) -> None:
    try:
        check_config(lxd, changed.config)
    except Refused as refused:
        raise Refused(refused.status, f"Invalid config: {refused.message}") from refused
    check_devices(lxd, changed)
    check_root_stays(lxd, one, changed)
    added = {name: device for name, device in changed.devices.items() if one.devices.get(name) != device}
    check_disks(lxd, one.project, added, of=one)
    check_nics(lxd, changed, [name for name, device in added.items() if device["type"] == "nic"], "add")
    before, runs = one.config, one.status_code != STOPPED
    if runs:
        live_changes.check(before, changed.config)
        live_changes.check_disks(lxd, one.name, one.devices, changed.devices)
        nic_slots.change(lxd, one, lxd.expanded_devices(one), lxd.expanded_devices(changed))
    one.architecture, one.description, one.profiles = changed.architecture, changed.description, changed.profiles
    one.ephemeral = changed.ephemeral
    one.config, one.devices = changed.config, changed.devices
    _size_root(lxd, one)
    if runs:
        live_changes.report_to_guest(before, one.config)
    lxd.report("updated", one)


def _size_root(lxd: Lxd, one: Instance) -> None:
    """LXD shows another size of a running instance's root disk at once, and grows it at the next start."""
    if root_bytes(root_of(lxd.expanded_devices(one)) or {}) == one.root.size_bytes:
        return
    if one.status_code == STOPPED:
        one.root.size_bytes = root_bytes(root_of(lxd.expanded_devices(one)) or {})
    else:
        one.config = {**one.config, APPLY_QUOTA: "true"}


def move_or_rename(lxd: Lxd, request: Request, name: str) -> Answer:
    """`POST`: with `pool` the root disk moves to that storage pool, else the instance gets another name."""
    body = request.body()
    return _move(lxd, request, name) if body.get("pool") else _rename(lxd, request, name)


def _move(lxd: Lxd, request: Request, name: str) -> Answer:
    """LXD makes a copy of the instance, with another id for cloud-init, and renames it."""
    one, body = lxd.instance(name, request.project), request.body()
    if body["name"] != name or body.get("migration") is not True:
        raise NotModelled("a move to another storage pool that also renames")
    lxd.check_pool(body["pool"])
    _check_idle(lxd, name)

    def work() -> None:
        if one.status_code != STOPPED:
            raise Refused(400, "Instance must be stopped to be moved statelessly")
        check_shareable(lxd, one)
        (device,) = [key for key, entry in lxd.expanded_devices(one).items() if entry.get("path") == "/"]
        one.devices = {**one.devices, device: {**lxd.expanded_devices(one)[device], "pool": body["pool"]}}
        one.config = {**one.config, "volatile.cloud-init.instance-id": str(uuid4())}
        one.created_at, one.last_used_at = now(), NEVER_USED

    return operations.run(lxd, "Migrating instance", work, {"instances": [f"/1.0/instances/{name}"]})


def _rename(lxd: Lxd, request: Request, name: str) -> Answer:
    one, new_name = lxd.instance(name, request.project), str(request.body()["name"])
    if (one.project, new_name) in lxd.instances:
        raise Refused(409, f'Name "{new_name}" already in use')

    def work() -> None:
        if one.status_code != STOPPED:
            raise Refused(400, "Renaming of running instance not allowed")
        del lxd.instances[one.project, name]
        one.name = new_name
        lxd.instances[one.project, new_name] = one
        lxd.report("renamed", one, {"old_name": name})

    return operations.run(lxd, "Renaming instance", work, {"instances": [f"/1.0/instances/{name}"]})


def delete(lxd: Lxd, request: Request, name: str) -> Answer:
    one = lxd.instance(name, request.project)
    if one.status_code != STOPPED:
        raise Refused(400, "Instance is running")
    if is_true(lxd.expanded_config(one).get("security.protection.delete")):
        raise Refused(400, "Instance has delete protection enabled")
    about = {"instances": [f"/1.0/instances/{name}"]}
    return operations.run(lxd, "Deleting instance", lambda: forget(lxd, one), about)


def _view(lxd: Lxd, one: Instance) -> dict[str, Any]:
    return {
        "architecture": one.architecture, "config": one.config, "devices": one.devices, "ephemeral": one.ephemeral,
        "profiles": one.profiles, "stateful": one.stateful, "description": one.description,
        "created_at": one.created_at,
        "expanded_config": lxd.expanded_config(one), "expanded_devices": lxd.expanded_devices(one), "name": one.name,
        "status": STATUS[one.status_code], "status_code": one.status_code, "last_used_at": one.last_used_at,
        "location": one.member or lxd.location, "type": VM, "project": one.project,
    }  # fmt: skip


def _etag(one: Instance) -> str:
    return etag_of(one.architecture, one.config, one.devices, one.profiles)


def _filter(text: str) -> Callable[[dict[str, Any]], bool]:
    """Reads `FIELD eq VALUE or …`, with `config.KEY` as a field; other filters of LXD are not modelled."""
    clauses = []
    for clause in text.split(" or ") if text else ():
        match clause.split(" "):
            case [field, "eq", value]:
                clauses.append((field, value))
            case _:
                raise NotModelled(f"the filter {text}")

    def matches(one: dict[str, Any], field: str, value: str) -> bool:
        inside, _, key = field.partition(".")
        return bool((one["config"].get(key) if inside == "config" else one.get(field)) == value)

    return lambda one: not clauses or any(matches(one, field, value) for field, value in clauses)
