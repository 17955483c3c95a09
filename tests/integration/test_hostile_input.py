"""Odd values at every endpoint of networks and placement: no answer is 500, and no refusal writes anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import define

from regiond.accounts.model import ApiKey
from regiond.api.catalogue import SERVED
from regiond.api.endpoint import Endpoint, Resource
from regiond.api.services import Services
from regiond.db.pool import Database
from regiond.service import API_KEY_FILE
from tests.installation import Installation, installed
from tests.unit.api_double import World
from tests.unit.good_requests import GOOD

ROOMS = ("fabrics", "vlans", "subnets", "spaces", "ipranges", "nodes")
PLACING = ("compose", "place", "allocate")
CHANGED = (
    "fabric", "vlan", "space", "subnet", "ip_range", "host_interface", "ip_address", "machine", "machine_nic", "claim",
)  # fmt: skip
TEXTS = (
    "\x00", "-1", "1.5", str(2**63), "a" * 10_000, "<a&b>", "::/0", "fe80::1%eth0", "10.1.0.5/24",
    "eth0:ip=fe80::1%eth0", "eth0:vid=" + "9" * 30,
)  # fmt: skip
PLAIN: tuple[Any, ...] = (2**63, [[]], {"a": 1}, "\ud800")
IDS = ("-1", str(2**63), "%00", "a" * 5000, "undefined")


@define(kw_only=True)
class RealWorld(World):
    """The API over the services of a region."""

    real: Services

    def services(self) -> Services:
        return self.real


def asked() -> Iterator[tuple[Resource, Endpoint]]:
    for resource in SERVED:
        for endpoint in resource.endpoints:
            if resource.path.split("/")[0] in ROOMS or endpoint.op in PLACING:
                yield resource, endpoint


def odd(resource: Resource, endpoint: Endpoint, known: dict[str, str]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Paths with what is sent there: for each field of the request, and each part of the path, all odd values."""
    good = {one.name: GOOD[one.name] for one in endpoint.fields if one.required}
    good |= {"type": "reserved"} if "type" in good else {}
    there = resource.path.format(**known)
    if endpoint.method in {"POST", "PUT"}:
        for one in endpoint.fields:
            yield [(there, {"form": {**good, one.name: text}}) for text in TEXTS]
            yield [(there, {"document": {**good, one.name: value}}) for value in PLAIN]
    for key in known:
        if f"{{{key}}}" in resource.path:
            yield [(resource.path.format(**{**known, key: text}), {"form": good}) for text in IDS]


async def rows(database: Database) -> dict[str, str]:
    async with database.connection() as db:
        found: dict[str, str] = {}
        for table in CHANGED:
            query = f"select md5(coalesce(string_agg(t::text, '' order by t::text), '')) from {table} t"  # noqa: S608 - ours
            found[table] = await db.fetchval(query)
        return found


async def known_of(made: Installation) -> dict[str, dict[str, str]]:
    """What there is, by the first part of a path."""
    host = await made.add_simulated(networks="dmz:10.1.0.0/24:100")
    await made.compose(host["id"], interfaces="eth0:ip=10.1.0.7")
    (subnet,) = await made.get("subnets/")
    kept = await made.post("ipranges/", type="reserved", start_ip="10.1.0.50", end_ip="10.1.0.60")
    space = await made.post("spaces/", name="front")
    system_id = host["host"]["system_id"]
    (interface,) = await made.get(f"nodes/{system_id}/interfaces/")
    ids = {
        "vlans": subnet["vlan"]["id"], "subnets": subnet["id"], "ipranges": kept["id"], "spaces": space["id"],
        "nodes": interface["id"], "vm-hosts": host["id"], "pods": host["id"],
    }  # fmt: skip
    common = {"fabric_id": "0", "vid": "0", "system_id": system_id}
    return {room: {**common, "id": str(ids.get(room, 0))} for room in (*ROOMS, "vm-hosts", "pods", "machines")}


async def test_no_odd_value_is_a_fault_of_ours_and_no_refusal_writes(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        known = await known_of(made)
        await made.stop_rack("rack")  # what is good by chance goes no further than its intent
        consumer, token, secret = (made.settings.state / API_KEY_FILE).read_text().strip().split(":")
        key = ApiKey(consumer_key=consumer, token_key=token, token_secret=secret)
        world = RealWorld(real=made.region.parts.services)
        database, faults = made.region.parts.database, []
        before = await rows(database)
        for resource, endpoint in asked():
            for requests in odd(resource, endpoint, known[resource.path.split("/")[0]]):
                answers = [
                    await world.ask(endpoint.method, path, op=endpoint.op, key=key, prefer="respond-async", **sent)
                    for path, sent in requests
                ]
                after = await rows(database)
                all_refused = all(answer.status >= 400 for answer in answers)
                if {answer.status for answer in answers} & {500, 504} or (all_refused and after != before):
                    faults.append((endpoint.method, endpoint.op, str(requests)[:200], [one.status for one in answers]))
                before = after
        assert faults == []
