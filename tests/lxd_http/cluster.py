"""A cluster of one member or more, and the placement groups of its projects.

As published: LXD's documentation "How to use placement groups", `shared/api/placement_group.go` for the fields, and
`lxd/placement_groups.go` for what is refused.
"""

from __future__ import annotations

from typing import Any

from tests.lxd_http.messages import API, Answer, Refused, Request, sync
from tests.lxd_http.releases import PLACEMENT_GROUPS
from tests.lxd_http.state import Lxd, url_of

KERNEL_MEMORY_BYTES = 16_000_000 * 1024
_POLICIES, _RIGORS = {"spread", "compact"}, {"strict", "permissive"}


def members(lxd: Lxd, request: Request) -> Answer:
    if lxd.member is None:
        raise Refused(503, "LXD server isn't part of a cluster")
    return sync(
        [
            {
                "server_name": name,
                "url": "https://127.0.0.1:8443",
                "status": "Online",
                "message": "Fully operational",
            }
            for name in (lxd.member, *sorted(lxd.other_members))
        ]
    )


def member_state(lxd: Lxd, request: Request, name: str) -> Answer:
    """Of a server that is in no cluster, the member is called `none`. The kernel has less memory than the hardware."""
    if name != (lxd.member or "none"):
        raise Refused(404, "Cluster member not found")
    return sync({"sysinfo": {"total_ram": KERNEL_MEMORY_BYTES}, "storage_pools": {}})


def placement_groups(lxd: Lxd, request: Request) -> Answer:
    _check(lxd, request)
    found = [_shown(lxd, *key) for key in sorted(lxd.placement_groups) if key[0] == request.project]
    return sync(
        found if request.recursion else [url_of("placement-groups", one["name"], one["project"]) for one in found]
    )


def create_placement_group(lxd: Lxd, request: Request) -> Answer:
    _check(lxd, request)
    if lxd.member is None:
        raise Refused(400, "This server is not clustered")
    body = request.body()
    config = body.get("config") or {}
    if config.get("policy") not in _POLICIES or config.get("rigor") not in _RIGORS:
        raise Refused(400, "Invalid placement group configuration")
    key = request.project, str(body["name"])
    if key in lxd.placement_groups:
        raise Refused(409, "Placement group already exists")
    lxd.placement_groups[key] = {"description": body.get("description", ""), "config": config}
    return sync(None)


def _check(lxd: Lxd, request: Request) -> None:
    if PLACEMENT_GROUPS not in lxd.release.extensions:
        raise Refused(404, "not found")
    lxd.check_project(request.project)


def _shown(lxd: Lxd, project: str, name: str) -> dict[str, Any]:
    """Its users are the instances and profiles that have the key themselves."""
    users = [
        one.url for one in lxd.instances.values() if (one.project, one.config.get("placement.group")) == (project, name)
    ]
    users += [
        f"{API}/profiles/{profile}"
        for profile, one in lxd.profiles.items()
        if one["config"].get("placement.group") == name
    ]
    return {"name": name, "project": project, "used_by": users, **lxd.placement_groups[project, name]}
