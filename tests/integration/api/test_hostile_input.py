"""Odd values at every endpoint of networks and placement cause no status 500, and rejections write nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.description.examples import example_of
from regiond.api.resources.registry import SERVED
from regiond.db.pool import Database
from tests.deployment.deployment import Deployment
from tests.integration.support.real_api import RealApi, admin_key

COLLECTIONS = (
    "fabrics",
    "vlans",
    "subnets",
    "spaces",
    "ipranges",
    "nodes",
    "boot-resources",
    "files",
    "tags",
    "domains",
    "dnsresources",
    "devices",
)
PLACING = ("compose", "place", "allocate")
CHANGED = (
    "fabric", "vlan", "space", "subnet", "ip_range", "host_interface", "ip_address", "machine", "machine_nic", "claim",
    "image", "user_file", "tag", "dns_domain", "dns_name",
    "dns_address", "device", "device_nic",
)  # fmt: skip
TEXTS = (
    "\x00", "-1", "1.5", str(2**63), "a" * 10_000, "<a&b>", "::/0", "fe80::1%eth0", "10.1.0.5/24",
    "eth0:ip=fe80::1%eth0", "eth0:vid=" + "9" * 30,
)  # fmt: skip
PLAIN: tuple[Any, ...] = (2**63, [[]], {"a": 1}, "\ud800")
IDS = ("-1", str(2**63), "%00", "a" * 5000, "undefined")


def covered_endpoints() -> Iterator[tuple[Resource, Endpoint]]:
    for resource in SERVED:
        for endpoint in resource.endpoints:
            if resource.path.split("/")[0] in COLLECTIONS or endpoint.op in PLACING:
                yield resource, endpoint


def odd(resource: Resource, endpoint: Endpoint, known: dict[str, str]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Yields paths and bodies: every odd value for each field of the request and each part of the path."""
    good = {one.name: example_of(one) for one in endpoint.fields if one.required}
    good |= {"type": "reserved"} if "type" in good else {}
    path = resource.path.format(**known)
    if endpoint.method in {"POST", "PUT"}:
        for one in endpoint.fields:
            yield [(path, {"form": {**good, one.name: text}}) for text in TEXTS]
            yield [(path, {"document": {**good, one.name: value}}) for value in PLAIN]
    for key in known:
        if f"{{{key}}}" in resource.path:
            yield [(resource.path.format(**{**known, key: text}), {"form": good}) for text in IDS]


async def rows(database: Database) -> dict[str, str]:
    async with database.connection() as db:
        found: dict[str, str] = {}
        for table in CHANGED:
            query = f"select md5(coalesce(string_agg(t::text, '' order by t::text), '')) from {table} t"  # noqa: S608  # constants
            found[table] = await db.fetchval(query)
        return found


async def known_of(innkeeper: Deployment) -> dict[str, dict[str, str]]:
    """Creates one object of each kind; returns the path parameters by the first part of a path."""
    host = await innkeeper.add_simulated(networks="dmz:10.1.0.0/24:100")
    await innkeeper.compose(host["id"], interfaces="eth0:ip=10.1.0.7")
    (subnet,) = await innkeeper.get("subnets/")
    ip_range = await innkeeper.post("ipranges/", type="reserved", start_ip="10.1.0.50", end_ip="10.1.0.60")
    space = await innkeeper.post("spaces/", name="front")
    dns_name = await innkeeper.post("dnsresources/", fqdn="www.maas", ip_addresses="10.1.0.8")
    system_id = host["host"]["system_id"]
    (interface,) = await innkeeper.get(f"nodes/{system_id}/interfaces/")
    ids = {
        "vlans": subnet["vlan"]["id"], "subnets": subnet["id"], "ipranges": ip_range["id"], "spaces": space["id"],
        "dnsresources": dns_name["id"],
        "nodes": interface["id"], "vm-hosts": host["id"], "pods": host["id"],
    }  # fmt: skip
    common = {
        "fabric_id": "0",
        "vid": "0",
        "system_id": system_id,
        "file_id": "0",
        "device_id": "0",
        "filename": "x",
        "name": "simulated",
    }
    return {name: {**common, "id": str(ids.get(name, 0))} for name in (*COLLECTIONS, "vm-hosts", "pods", "machines")}


@pytest.mark.slow
async def test_odd_values_cause_no_500_and_rejections_write_nothing(innkeeper: Deployment) -> None:
    known = await known_of(innkeeper)
    await innkeeper.stop_rack("rack")  # operations of requests that are valid by chance stay queued
    key, api = admin_key(innkeeper), RealApi.of(innkeeper)
    database, faults = innkeeper.region.components.database, []
    before = await rows(database)
    for resource, endpoint in covered_endpoints():
        for requests in odd(resource, endpoint, known[resource.path.split("/")[0]]):
            answers = [
                await api.send(endpoint.method, path, op=endpoint.op, key=key, prefer="respond-async", **sent)
                for path, sent in requests
            ]
            after = await rows(database)
            all_rejected = all(answer.status >= 400 for answer in answers)
            if {answer.status for answer in answers} & {500, 504} or (all_rejected and after != before):
                faults.append((endpoint.method, endpoint.op, str(requests)[:200], [one.status for one in answers]))
            before = after
    assert faults == []
