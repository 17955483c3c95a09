"""Roles in resource pools: what placement considers, when a change takes effect, and RPC clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from common.errors import NotAllowed, NotFound
from innkeeper.rpc import PowerAction, Region, connect
from innkeeper.rpc_calls.client_credentials import AUTHORITY, CERTIFICATE, KEY
from regiond.machines.values.requests import AllocateRequest
from regiond.requests.caller import Caller, PoolRole
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed, second_region
from tests.integration.support.two_pools import FOREIGN, NATIVE, Role, TwoPools, two_pools
from tests.integration.support.users import as_user
from tests.support.rejections import rejection
from tests.support.waiting import eventually


async def allocate(deployment: Deployment, **fields: Any) -> Any:
    return await deployment.post("machines/", op="allocate", **fields)


async def client_folder(pools: TwoPools, role: Role, username: str) -> Path:
    """The identity of an RPC client of the user."""
    components = pools.innkeeper.region.components
    user = await components.services.accounts.user(username)
    certificate, key, authority = await components.services.rpc_clients.issue(user, role.name.lower())
    folder = pools.innkeeper.folder / role.name.lower()
    folder.mkdir()
    for name, text in ((CERTIFICATE, certificate), (KEY, key), (AUTHORITY, authority)):
        (folder / name).write_text(text)
    return folder


async def test_placement_considers_only_the_pools_granted(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    operator = pools.as_role(Role.OPERATOR)
    for _ in range(3):
        machine = await allocate(operator, cpu_count=1, mem=1024)
        assert (machine["pool"]["name"], machine["pod"]["name"]) == ("native-pool", "native-server")
    placement = await operator.post("vm-hosts/", op="place", cores=1)
    assert FOREIGN not in str(placement)
    too_large = await rejection(allocate(operator, cpu_count=9))
    assert "native-server" in too_large.message
    assert FOREIGN not in too_large.message


async def test_another_pool_or_its_hosts_do_not_exist(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    operator, viewer = pools.as_role(Role.OPERATOR), pools.as_role(Role.VIEWER)
    native, foreign = pools.contents[NATIVE], pools.contents[FOREIGN]
    for fields in ({"pool": "foreign-pool"}, {"pool": foreign.pool_id}, {"pod": "foreign-server"}):
        error = await rejection(allocate(operator, **fields))
        assert error.details["status"] == 404, fields
        assert "There is no" in error.message
    into = await rejection(operator.compose(native.host_id, cores=1, memory=1024, pool="foreign-pool"))
    assert into.details["status"] == 404
    onto = await rejection(operator.compose(foreign.host_id, cores=1, memory=1024))
    assert onto.details["status"] == 404
    reading = await rejection(viewer.compose(native.host_id, cores=1, memory=1024))
    assert reading.details["status"] == 403
    assert "resource-pool grant" in reading.message


async def test_a_viewer_of_another_pool_is_told_which_role_it_lacks(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    path = f"resourcepool/{pools.contents[FOREIGN].pool_id}/"
    await innkeeper.post(path, op="grant", user="olga", role="viewer")
    for fields in ({"pool": "foreign-pool"}, {"pod": "foreign-server"}):
        error = await rejection(allocate(pools.as_role(Role.OPERATOR), **fields))
        assert error.details["status"] == 403
        assert "needs the role operator in the resource pool 'foreign-pool'; olga is a viewer there" in error.message


async def test_an_operator_deletes_what_it_composed_and_nothing_else(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    operator, native = pools.as_role(Role.OPERATOR), pools.contents[NATIVE]
    own = await operator.compose(native.host_id, cores=1, memory=1024)
    await operator.post(f"machines/{own['system_id']}/", op="power_on")
    await operator.delete(f"machines/{own['system_id']}/")
    free = await innkeeper.compose(native.host_id, cores=1, memory=1024)
    for work in (
        operator.delete(f"machines/{free['system_id']}/"),
        operator.post(f"machines/{free['system_id']}/", op="power_on"),
        operator.delete(f"machines/{native.system_id}/"),  # allocated to it, composed by the administrator
    ):
        assert (await rejection(work)).details["status"] == 403


async def test_the_owner_sees_its_machine_in_a_pool_without_role(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    operator, native = pools.as_role(Role.OPERATOR), pools.contents[NATIVE]
    await innkeeper.post(f"resourcepool/{native.pool_id}/", op="revoke", user="olga")
    assert [one["hostname"] for one in await operator.get("machines/")] == ["native-machine"]
    path = f"machines/{native.system_id}/"
    assert (await operator.get(path))["owner"] == "olga"
    for work in (
        operator.post(path, op="release"),
        operator.post("machines/", op="release", machines=native.system_id),
    ):
        assert (await rejection(work)).details["status"] == 403


async def test_a_new_user_is_an_operator_of_the_default_pool(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    ann = await as_user(innkeeper, "ann")
    (grant,) = await ann.get("resourcepools/", op="grants")
    assert (grant["user"], grant["pool"], grant["role"], grant["granted_by"]) == ("ann", "default", "operator", None)
    assert [pool["name"] for pool in await ann.get("resourcepools/")] == ["default"]
    assert (await allocate(ann, cpu_count=1))["owner"] == "ann"


async def test_a_change_of_a_role_takes_effect_at_once(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    ann, path = await as_user(innkeeper, "ann"), f"vm-hosts/{host['id']}/"
    assert (await ann.get(path))["name"] == "sim"
    await innkeeper.post("resourcepool/default/", op="revoke", user="ann")
    assert (await rejection(ann.get(path))).details["status"] == 404
    await innkeeper.post("resourcepool/default/", op="grant", user="ann", role="viewer")
    assert (await ann.get(path))["name"] == "sim"
    assert (await rejection(ann.compose(host["id"], cores=1, memory=1024))).details["status"] == 403
    events = (await innkeeper.get("events/", op="query"))["events"]
    assert [one["kind"] for one in events if one["kind"].startswith("role_")] == ["role_granted", "role_revoked"]


async def test_another_region_rejects_a_revoked_role_after_its_cache(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as one, second_region(one) as two:
        await one.start_rack()
        host = await one.add_simulated()
        ann = await as_user(two, "ann")
        assert (await ann.get(f"vm-hosts/{host['id']}/"))["name"] == "sim"
        await one.post("resourcepool/default/", op="revoke", user="ann")

        async def hidden() -> bool:
            return await ann.poll(f"vm-hosts/{host['id']}/") is None

        await eventually(hidden)


async def test_a_compose_by_a_stale_role_is_refused_in_its_transaction(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await as_user(innkeeper, "ann")
    await innkeeper.compose(host["id"], cores=1, memory=1024)
    services = innkeeper.region.components.services
    account_id = (await services.accounts.user("ann")).account_id
    stale = Caller(account_id=account_id, username="ann", is_admin=False, grants={0: PoolRole.OPERATOR})
    await innkeeper.post("resourcepool/default/", op="revoke", user="ann")
    for request in (AllocateRequest(), AllocateRequest(cores=2)):  # the ready machine, and one to be composed
        with pytest.raises(NotAllowed, match="has just been revoked"):
            await services.allocation.start(stale, request)
    assert len(await innkeeper.get("machines/")) == 1


def changes(region: Region, system_id: str) -> tuple[Awaitable[object], ...]:
    """Each change of the hardware of a machine."""
    return (
        region.add_disk(system_id, size_gb=1),
        region.grow_disk(system_id, "sda", size_gb=100),
        region.remove_disk(system_id, "sda", keep=False),
        region.add_interface(system_id),
        region.change_interface(system_id, "eth0", mac_address="52:54:00:00:00:20"),
        region.remove_interface(system_id, "eth0"),
        region.set_boot(system_id, ["disk"]),
    )


async def test_rpc_clients_have_the_roles_of_their_account(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    folder = await client_folder(pools, Role.OPERATOR, "olga")
    foreign = pools.contents[FOREIGN]
    async with connect(f"127.0.0.1:{innkeeper.region.rpc_port}", folder=folder) as region:
        assert [host.name for host in await region.hosts()] == ["native-server"]
        assert [machine.hostname for machine in await region.machines()] == ["native-machine"]
        for call in (
            region.compose(host="foreign-server", memory_mib=1024),
            region.compose(host=foreign.host_id, memory_mib=1024),
            region.power(foreign.system_id, PowerAction.ON),
            region.resize(foreign.system_id, cores=2),
            *changes(region, foreign.system_id),
            region.delete(foreign.system_id),
            region.operation(foreign.operation_id),
            region.wait(foreign.operation_id),
        ):
            with pytest.raises(NotFound):
                await call
        composed = await region.wait((await region.compose(memory_mib=1024)).id)
        assert composed.state == "succeeded"
        assert len(await region.machines()) == 2


async def test_an_rpc_client_of_a_viewer_changes_nothing(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    native = pools.contents[NATIVE]
    async with connect(
        f"127.0.0.1:{innkeeper.region.rpc_port}", folder=await client_folder(pools, Role.VIEWER, "vera")
    ) as region:
        assert [host.name for host in await region.hosts()] == ["native-server"]
        for call in (
            region.compose(memory_mib=1024),
            region.compose(host="native-server", memory_mib=1024),
            region.power(native.system_id, PowerAction.ON),
            region.resize(native.system_id, cores=2),
            *changes(region, native.system_id),
            region.delete(native.system_id),
        ):
            with pytest.raises(NotAllowed):
                await call


async def test_a_rescheduled_compose_stays_in_the_pools_granted(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    operator = pools.as_role(Role.OPERATOR)
    operation_id = await operator.begin("machines/", op="allocate", cpu_count=1, mem=1024)
    async with innkeeper.connection() as db:
        intent = await db.fetchval("select request->'intent'->>'pool_ids' from operation where id = $1", operation_id)
    assert intent == f"[{pools.contents[NATIVE].pool_id}]"
    assert await operator.ended(operation_id) == "succeeded"


async def test_grants_of_others_are_shown_to_administrators_only(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    path = f"resourcepool/{pools.contents[NATIVE].pool_id}/"
    assert [one["user"] for one in await innkeeper.get(path, op="grants")] == ["olga", "otto", "vera"]
    assert [one["user"] for one in await pools.as_role(Role.VIEWER).get(path, op="grants")] == ["vera"]
    unknown = await rejection(innkeeper.post(path, op="grant", user="nobody"))
    assert unknown.details["status"] == 400
    await asyncio.gather(*(innkeeper.post(path, op="grant", user="olga", role="viewer") for _ in range(4)))
    roles = {one["user"]: one["role"] for one in await innkeeper.get(path, op="grants")}
    assert roles == {"olga": "viewer", "otto": "operator", "vera": "viewer"}


async def test_the_placement_of_another_user_is_hidden(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    machine = await allocate(innkeeper, pool="native-pool", cpu_count=1, mem=1024)
    path = f"operations/?machine={machine['system_id']}"
    (shown,) = await innkeeper.get(path)
    assert "foreign-server" in str(shown["explanation"])
    (hidden,) = await pools.as_role(Role.OPERATOR).get(path)
    assert (hidden["id"], hidden["explanation"]) == (shown["id"], None)


async def test_a_group_names_no_machine_of_another_pool(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    for name in (NATIVE, FOREIGN):
        await innkeeper.put(f"machines/{pools.contents[name].system_id}/", affinity="web")
    path = f"machines/{pools.contents[NATIVE].system_id}/"
    (shown,) = (await innkeeper.get(path))["affinity_groups"]
    assert shown["violated_by"] == ["foreign-machine"]
    (hidden,) = (await pools.as_role(Role.VIEWER).get(path))["affinity_groups"]
    assert hidden["violated_by"] == []


async def test_a_group_of_another_pool_does_not_count_and_is_not_named(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    operator = pools.as_role(Role.OPERATOR)
    await innkeeper.put(f"machines/{pools.contents[FOREIGN].system_id}/", affinity="web")
    placement = await operator.post("vm-hosts/", op="place", cores=1, affinity="web")
    assert placement["chosen"] is not None
    assert FOREIGN not in str(placement)
