"""Two resource pools with the same contents: names in one have `native`, those in the other `foreign`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from attrs import define, evolve, field, frozen

from innkeeper.http import Api as HttpApi
from regiond.accounts.model import ApiKey
from regiond.accounts.service import Accounts
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, SiteInfo
from regiond.api.pipeline.dispatch import Api
from regiond.api.pipeline.request import ApiRequest
from regiond.api.replies import Reply, empty_reply
from regiond.events.service import Events
from regiond.requests.caller import Caller, PoolRole
from tests.deployment.deployment import Deployment
from tests.integration.support.users import own
from tests.unit.support.api_double import authorization


class Role(StrEnum):
    STRANGER = "stranger"
    VIEWER = "viewer"
    OPERATOR = "operator"
    COLLEAGUE = "operator who owns nothing"
    ELSEWHERE = "operator of the other pool"
    NOBODY = "user without any role"
    ADMIN = "administrator"


NATIVE, FOREIGN = "native", "foreign"
GRANTS = {
    Role.VIEWER: (NATIVE, PoolRole.VIEWER),
    Role.OPERATOR: (NATIVE, PoolRole.OPERATOR),
    Role.COLLEAGUE: (NATIVE, PoolRole.OPERATOR),
    Role.ELSEWHERE: (FOREIGN, PoolRole.OPERATOR),
}
USERNAMES = {
    Role.VIEWER: "vera", Role.OPERATOR: "olga", Role.COLLEAGUE: "otto", Role.ELSEWHERE: "emil", Role.NOBODY: "nina",
    Role.ADMIN: "admin",
}  # fmt: skip
OWNERS = {NATIVE: "olga", FOREIGN: "emil"}
_DEVICE = """
    insert into device (system_id, hostname, parent_id) select $1, $2, id from machine where system_id = $3
    returning system_id
"""
_KEPT_DISK = """
    insert into kept_disk (host_id, storage_pool_id, volume, size_bytes, hostname, pool_id)
    select h.id, s.id, $2, 1000000000, $3, $4 from vm_host h join storage_pool s using (server_id)
     where h.id = $1 limit 1
    returning id
"""
_OWN_KEPT_DISK = "update kept_disk set account_id = (select id from account where username = $2) where id = $1"
_CLUSTER = """
    insert into cluster (name, identity, project, zone_id, pool_id) values ($1, $1, 'default', 1, $2) returning id
"""


@frozen(kw_only=True)
class Contents:
    """What is in one of the pools."""

    pool_id: int
    quota_id: int
    host_id: int
    host_system_id: str
    interface_id: int
    cluster_id: int
    guest_id: int
    system_id: str
    nic_id: int
    disk_id: int
    operation_id: int
    device_system_id: str
    kept_disk_id: int


@define
class TwoPools:
    """`send` dispatches as the HTTP server does, with the region's services."""

    innkeeper: Deployment
    contents: dict[str, Contents] = field(factory=dict)
    keys: dict[Role, ApiKey] = field(factory=dict)
    sent: int = 0

    def as_role(self, role: Role) -> Deployment:
        """The deployment with the API key of this role."""
        return evolve(self.innkeeper, other_account=HttpApi(self.innkeeper.api.url, str(self.keys[role])))

    async def send(
        self,
        role: Role,
        resource: Resource,
        endpoint: Endpoint,
        path: Mapping[str, str],
        *,
        harmless: bool,
        prefer: str = "",
    ) -> Reply:
        """The response to this role; with `harmless`, a request that is permitted does nothing."""
        if harmless:
            endpoint = evolve(endpoint, run=_nothing, check=None, check_names=None)
            resource = evolve(resource, endpoints=(endpoint,))
        self.sent += 1
        now_s = time.time()
        key = self.keys.get(role)
        request = ApiRequest(
            method=endpoint.method,
            query=urlencode([] if endpoint.op is None else [("op", endpoint.op)]),
            prefer=prefer,
            authorization=None if key is None else authorization(key, nonce=f"n{self.sent}", timestamp_s=now_s),
        )
        api = Api(services=self.innkeeper.region.components.services, info=SiteInfo(), now_s=lambda: now_s)
        return await api.answer(resource, path, request, "reference-1")


async def _nothing(_: Call) -> Reply:
    return empty_reply()


async def two_pools(innkeeper: Deployment) -> TwoPools:
    """Each pool has a quota, a host, a cluster and an allocated machine with its operation."""
    made = TwoPools(innkeeper)
    for name in (NATIVE, FOREIGN):
        pool_id = (await innkeeper.post("resourcepools/", name=f"{name}-pool"))["id"]
        quota = await innkeeper.post("quotas/", pool=f"{name}-pool", machines=10)
        host = await innkeeper.add_simulated(f"{name}-server", cores=8, memory_mib=16384)
        await innkeeper.put(f"vm-hosts/{host['id']}/", pool=f"{name}-pool")
        composed = await innkeeper.compose(host["id"], cores=1, memory=1024, hostname=f"{name}-machine")
        made.contents[name] = await _contents(innkeeper, name, pool_id, quota["id"], host, composed["system_id"])
    for role, username in USERNAMES.items():
        made.keys[role] = await _key(innkeeper, role, username)
    for role, (name, granted) in GRANTS.items():
        pool = f"resourcepool/{made.contents[name].pool_id}/"
        await innkeeper.post(pool, op="grant", user=USERNAMES[role], role=granted.value)
    for name, owner in OWNERS.items():
        await own(innkeeper, made.contents[name].system_id, owner)
        await innkeeper.fetch(_OWN_KEPT_DISK, made.contents[name].kept_disk_id, owner)
    return made


async def _contents(
    innkeeper: Deployment, name: str, pool_id: int, quota_id: int, host: Mapping[str, Any], system_id: str
) -> Contents:
    machine = await innkeeper.get(f"machines/{system_id}/")
    interfaces = await innkeeper.get(f"nodes/{host['host']['system_id']}/interfaces/")
    (operation,) = await innkeeper.get(f"operations/?machine={system_id}")
    async with innkeeper.connection() as db:
        cluster_id = await db.fetchval(_CLUSTER, f"{name}-cluster", pool_id)
        guest_id = await db.fetchval(
            "select g.id from guest g join machine m on m.id = g.machine_id where m.system_id = $1", system_id
        )
        device_system_id = await db.fetchval(_DEVICE, f"d-{name}", f"{name}-device", system_id)
        kept_disk_id = await db.fetchval(_KEPT_DISK, host["id"], f"{name}-volume", f"{name}-old", pool_id)
    return Contents(
        pool_id=pool_id, quota_id=quota_id, host_id=host["id"], host_system_id=host["host"]["system_id"],
        interface_id=interfaces[0]["id"], cluster_id=cluster_id, guest_id=guest_id, system_id=system_id,
        nic_id=machine["interface_set"][0]["id"], disk_id=machine["blockdevice_set"][0]["id"],
        operation_id=operation["id"], device_system_id=device_system_id, kept_disk_id=kept_disk_id,
    )  # fmt: skip


async def _key(innkeeper: Deployment, role: Role, username: str) -> ApiKey:
    database = innkeeper.region.components.database
    async with database.connection() as db:
        await db.execute("insert into account (username) values ($1) on conflict do nothing", username)
        account_id = await db.fetchval("select id from account where username = $1", username)
    caller = Caller(account_id=account_id, username=username, is_admin=role is Role.ADMIN)
    return ApiKey.parse(await Accounts(database, record_event=Events.record).create_key(caller, "test"))
