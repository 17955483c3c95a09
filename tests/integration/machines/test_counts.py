"""The counts of the navigation are those of the lists, for each caller."""

from __future__ import annotations

from regiond.machines.values.search import MachineFilter
from regiond.requests.caller import Caller, PoolRole
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql


async def grouped(innkeeper: Deployment, caller: Caller) -> tuple[dict[int, int], dict[int, int]]:
    found = await innkeeper.region.components.services.machines.count_by_group(caller=caller)
    return dict(found.pools), dict(found.zones)


async def counts(innkeeper: Deployment, caller: Caller) -> tuple[int, ...]:
    services = innkeeper.region.components.services
    return (
        await services.hosts.count(caller=caller),
        await services.clusters.count(caller=caller),
        await services.machines.count(caller=caller),
        await services.operations.count_open(limit=100, caller=caller),
    )


async def listed(innkeeper: Deployment, caller: Caller) -> tuple[int, ...]:
    services = innkeeper.region.components.services
    return (
        len((await services.hosts.long_list(caller=caller)).keys),
        len(await services.clusters.list(caller=caller)),
        len((await services.machines.long_list(MachineFilter(), caller=caller)).keys),
        len(await services.operations.list(states=("queued", "running", "waiting", "undoing"), caller=caller)),
    )


async def test_counts_agree_with_what_each_caller_is_shown(innkeeper: Deployment) -> None:
    for name, pool in (("a", "default"), ("b", "other")):
        if pool != "default":
            await innkeeper.post("resourcepools/", name=pool)
        host = await innkeeper.add_simulated(name)
        await innkeeper.put(f"vm-hosts/{host['id']}/", pool=pool)
        await innkeeper.compose(host["id"], hostname=f"vm-{name}", memory=1024)
        await sql(
            innkeeper,
            "insert into cluster (name, identity, project, zone_id, pool_id)"
            " select $1, $1, '', 1, id from resource_pool where name = $2 returning id",
            f"cluster-{name}", pool,
        )  # fmt: skip
    with innkeeper.held(name="b"):
        await innkeeper.begin_compose(innkeeper.hosts["b"], hostname="held", memory=1024)
        admin = Caller(account_id=1, username="admin", is_admin=True)
        viewer = Caller(account_id=99, username="ann", is_admin=False, grants={0: PoolRole.VIEWER})
        nobody = Caller(account_id=98, username="bob", is_admin=False)
        assert await counts(innkeeper, admin) == await listed(innkeeper, admin) == (2, 2, 3, 1)
        assert await counts(innkeeper, viewer) == await listed(innkeeper, viewer) == (1, 1, 1, 0)
        other = next(pool["id"] for pool in await innkeeper.get("resourcepools/") if pool["name"] == "other")
        assert await grouped(innkeeper, admin) == ({0: 1, other: 2}, {1: 3})
        assert await grouped(innkeeper, viewer) == ({0: 1}, {1: 1})
        assert await grouped(innkeeper, nobody) == ({}, {})
        assert await counts(innkeeper, nobody) == await listed(innkeeper, nobody) == (0, 0, 0, 0)
