"""Finds the function that answers a request."""

from __future__ import annotations

from collections.abc import Callable

from tests.lxd_http import (
    backups,
    cluster,
    creation,
    images,
    instances,
    metrics,
    operations,
    power,
    server,
    trust,
    volumes,
)
from tests.lxd_http.messages import Answer, NotModelled, Refused, Request, error
from tests.lxd_http.state import Lxd

Handler = Callable[..., Answer]  # of the server, the request, and the parts of the path that are `*`

_VOLUMES = "storage-pools/*/volumes"
_ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", ""): server.about,
    ("GET", "resources"): server.resources,
    ("GET", "metrics"): metrics.read,
    ("POST", "certificates"): trust.add_certificate,
    ("GET", "certificates/*"): trust.read_certificate,
    ("DELETE", "certificates/*"): trust.delete_certificate,
    ("POST", "auth/identities/tls"): trust.add_identity,
    ("GET", "auth/identities/current"): trust.current_identity,
    ("GET", "auth/identities/tls/*"): trust.read_identity,
    ("PUT", "auth/identities/tls/*"): trust.replace_identity,
    ("DELETE", "auth/identities/tls/*"): trust.delete_identity,
    ("GET", "projects"): server.projects,
    ("GET", "projects/*"): server.project,
    ("GET", "cluster/members"): cluster.members,
    ("GET", "cluster/members/*/state"): cluster.member_state,
    ("GET", "placement-groups"): cluster.placement_groups,
    ("POST", "placement-groups"): cluster.create_placement_group,
    ("GET", "profiles"): server.profiles,
    ("GET", "profiles/*"): server.profile,
    ("GET", "networks"): server.networks,
    ("GET", "networks/*"): server.network,
    ("GET", "networks/*/state"): server.network_state,
    ("GET", "networks/*/leases"): server.leases,
    ("GET", "storage-pools"): server.pools,
    ("GET", "storage-pools/*"): server.pool,
    ("GET", "storage-pools/*/resources"): server.pool_resources,
    ("GET", _VOLUMES): volumes.listing,
    ("GET", f"{_VOLUMES}/custom"): volumes.custom_listing,
    ("POST", f"{_VOLUMES}/custom"): volumes.create,
    ("GET", f"{_VOLUMES}/custom/*"): volumes.read,
    ("PATCH", f"{_VOLUMES}/custom/*"): volumes.patch,
    ("DELETE", f"{_VOLUMES}/custom/*"): volumes.delete,
    ("GET", "instances"): instances.listing,
    ("POST", "instances"): creation.create,
    ("GET", "instances/*"): instances.read,
    ("PUT", "instances/*"): instances.replace,
    ("PATCH", "instances/*"): instances.patch,
    ("POST", "instances/*"): instances.move_or_rename,
    ("POST", "instances/*/rebuild"): creation.rebuild,
    ("GET", "instances/*/snapshots"): instances.snapshots,
    ("POST", "instances/*/snapshots"): instances.create_snapshot,
    ("DELETE", "instances/*/snapshots/*"): instances.delete_snapshot,
    ("DELETE", "instances/*"): instances.delete,
    ("GET", "instances/*/state"): power.read,
    ("PUT", "instances/*/state"): power.change,
    ("POST", "instances/*/backups"): backups.make_of_instance,
    ("GET", "instances/*/backups/*"): backups.of_instance(backups.read),
    ("DELETE", "instances/*/backups/*"): backups.of_instance(backups.delete),
    ("GET", "instances/*/backups/*/export"): backups.of_instance(backups.export),
    ("POST", f"{_VOLUMES}/custom/*/backups"): backups.make_of_volume,
    ("GET", f"{_VOLUMES}/custom/*/backups/*"): backups.of_volume(backups.read),
    ("DELETE", f"{_VOLUMES}/custom/*/backups/*"): backups.of_volume(backups.delete),
    ("GET", f"{_VOLUMES}/custom/*/backups/*/export"): backups.of_volume(backups.export),
    ("GET", "images"): images.listing,
    ("POST", "images"): images.upload,
    ("GET", "images/*"): images.read,
    ("GET", "images/*/export"): images.export,
    ("DELETE", "images/*"): images.delete,
    ("GET", "operations"): operations.listing,
    ("GET", "operations/*"): operations.read,
    ("GET", "operations/*/wait"): operations.wait,
}


def answer(lxd: Lxd, request: Request) -> Answer:
    """Answers 403 to all but `GET /1.0` and tokens without a trusted certificate, and 501 to what the double does not
    model.
    """
    if not trust.is_trusted(lxd, request) and not trust.may_ask_untrusted(request):
        return error(403, "not authorized")
    try:
        trust.check_permission(lxd, request)
        handler, parts = _find(request)
        with lxd.lock:
            return handler(lxd, request, *parts)
    except Refused as refused:
        return error(refused.status, refused.message)
    except NotModelled as missing:
        return error(501, f"The double of LXD does not model {missing}.")


def _find(request: Request) -> tuple[Handler, list[str]]:
    for (method, pattern), handler in _ROUTES.items():
        wanted = pattern.split("/") if pattern else []
        if method == request.method and len(wanted) == len(request.parts):
            pairs = list(zip(wanted, request.parts, strict=True))
            if all(part in {"*", given} for part, given in pairs):
                return handler, [given for part, given in pairs if part == "*"]
    raise NotModelled(f"{request.method} /1.0/{'/'.join(request.parts)}")
