"""Every endpoint, with every role, on an object in its own resource pool and on one in another."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from common.errors import NotFound
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.resources.registry import SERVED
from regiond.requests.caller import Permission
from tests.deployment.deployment import Deployment
from tests.integration.support.object_paths import IN_POOLS, SHARED, path_to
from tests.integration.support.two_pools import FOREIGN, GRANTS, NATIVE, USERNAMES, Contents, Role, TwoPools, two_pools

REFUSED = {401, 403, 404}


def targets(resource: Resource, endpoint: Endpoint, one: Contents) -> list[Mapping[str, str]]:
    """The paths to the object; interfaces are those of a machine, or those of a host, which only reads are open to."""
    path = path_to(resource, one)
    if not resource.path.startswith("nodes/") or "interfaces" not in resource.path:
        return [path]
    of_host = {"system_id": one.host_system_id, "id": str(one.interface_id)}
    of_host = {name: of_host[name] for name in resource.params}
    return [path, of_host] if endpoint.method == "GET" else [path]


def expected(endpoint: Endpoint, role: Role, *, pooled: bool, where: str) -> set[int]:
    """The statuses with which the role is refused; empty if the request is permitted."""
    needs = endpoint.permission
    if needs is Permission.ANYONE or role is Role.ADMIN:
        return set()
    if role is Role.STRANGER:
        return {401}
    if role is Role.NOBODY:
        return {404} if needs is Permission.USER and pooled else set() if needs is Permission.USER else {403}
    if needs is Permission.ADMIN or (role is Role.VIEWER and needs in {Permission.OPERATOR, Permission.OWNER}):
        return {403}
    if pooled and GRANTS[role][0] != where:
        return {404}
    return {403} if pooled and needs is Permission.OWNER and role is Role.COLLEAGUE else set()


def problem_of(
    status: int, refusals: set[int], resource: Resource, endpoint: Endpoint, role: Role, where: str
) -> str | None:
    permitted = status not in REFUSED or (not refusals and status == 404 and resource.path.split("/")[0] in SHARED)
    if permitted != (not refusals) or (refusals and status not in refusals):
        name = f"{resource.handler}.{endpoint.name}"
        return f"{name} ({endpoint.permission}) as {role} on {where}: {status}, expected {refusals or 'permitted'}"
    return None


def each_call(pools: TwoPools) -> list[tuple[Resource, Endpoint, str, Mapping[str, str]]]:
    return [
        (resource, endpoint, where, path)
        for resource in SERVED
        for endpoint in resource.endpoints
        for where, contents in pools.contents.items()
        for path in targets(resource, endpoint, contents)
    ]


@pytest.mark.parametrize("role", Role)
async def test_each_role_may_do_what_its_declaration_says(innkeeper: Deployment, role: Role) -> None:
    pools = await two_pools(innkeeper)
    problems: list[str | None] = []
    for resource, endpoint, where, path in each_call(pools):
        pooled = resource.path.split("/")[0] in IN_POOLS and bool(resource.params)
        refusals = expected(endpoint, role, pooled=pooled, where=where)
        reply = await pools.send(role, resource, endpoint, path, harmless=not refusals)
        problems.append(problem_of(reply.status, refusals, resource, endpoint, role, where))
    assert [problem for problem in problems if problem] == []
    assert {one["hostname"] for one in await innkeeper.get("machines/")} == {f"{NATIVE}-machine", f"{FOREIGN}-machine"}


async def test_no_read_shows_anything_of_another_pool(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    leaks = []
    for resource, endpoint, where, path in each_call(pools):
        if endpoint.method != "GET" or endpoint.permission is Permission.ANYONE:
            continue
        for role, (pool, _) in GRANTS.items():
            hidden = FOREIGN if pool == NATIVE else NATIVE
            reply = await pools.send(role, resource, endpoint, path, harmless=False)
            assert reply.status < 500, (resource.handler, endpoint.name, reply)
            shown = str(reply.body)
            if (f"{hidden}-" in shown or f"d-{hidden}" in shown) and where != hidden:
                leaks.append(f"{resource.handler}.{endpoint.name} shows {hidden} to the {role}: {reply.body!r:.2000}")
    assert leaks == []


async def test_a_user_reads_no_address_and_no_rank_of_another(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    olga = pools.as_role(Role.OPERATOR)
    assert [one["username"] for one in await olga.get("users/")] == ["olga"]
    assert (await olga.get("users/?op=whoami"))["is_superuser"] is False
    for name in ("admin", "emil", "nobody"):
        with pytest.raises(NotFound):
            await olga.get(f"users/{name}/")
    assert (await olga.get(f"machines/{pools.contents[NATIVE].system_id}/"))["owner"] == "olga", "owners stay readable"
    assert len(await innkeeper.get("users/")) == len(USERNAMES)
