"""Names of VM hosts are unique: at create, at update, and in clusters."""

from __future__ import annotations

import asyncio
from itertools import cycle

import pytest
from attrs import evolve

from common.errors import InvalidRequest
from common.values import ClusterMember
from regiond.hosts.changes import host_changes
from tests.deployment.deployment import Deployment
from tests.integration.hosts.test_clusters import FACTS, found


async def names(innkeeper: Deployment) -> list[str]:
    return [host["name"] for host in await innkeeper.get("vm-hosts/")]


async def add(innkeeper: Deployment, server: str, name: str | None = None) -> str:
    """Returns the name of the new host, or the error for the name."""
    address = f"simulated:{server}?cores=4"
    try:
        made = await innkeeper.post("vm-hosts/", type="simulated", power_address=address, name=name or "")
    except InvalidRequest as error:
        return error.fields["name"][0]
    return str(made["name"])


@pytest.mark.slow
async def test_a_taken_name_is_refused_and_names_the_other_host(innkeeper: Deployment) -> None:
    assert await add(innkeeper, "a", name="one") == "one"
    refused = "VM host 1 already has the name 'one'. Choose another name."
    assert await add(innkeeper, "b", name="one") == refused
    assert await add(innkeeper, "b", name="two") == "two"
    with pytest.raises(InvalidRequest) as error:
        await innkeeper.put("vm-hosts/two/", name="one")
    assert error.value.fields == {"name": [refused]}
    await innkeeper.put("vm-hosts/two/", name="two")
    await innkeeper.put("vm-hosts/one/", name="three")
    await innkeeper.put("vm-hosts/two/", name="one")
    assert await names(innkeeper) == ["three", "one"]


async def test_of_concurrent_creates_with_one_name_one_wins(innkeeper: Deployment) -> None:
    answers = await asyncio.gather(*(add(innkeeper, server, name="one") for server in "abcd"))
    assert sorted(answer == "one" for answer in answers) == [False, False, False, True]
    assert all(answer == "one" or "already has the name 'one'" in answer for answer in answers)
    assert await names(innkeeper) == ["one"]


async def test_a_generated_name_is_free(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_changes, "new_hostname", cycle(["calm-otter"]).__next__)
    first, second = await add(innkeeper, "a"), await add(innkeeper, "b")
    assert (first, second[:11], len(second)) == ("calm-otter", "calm-otter-", 15)


async def test_cluster_members_get_free_names(innkeeper: Deployment) -> None:
    for name in ("m1", "m2", "other"):
        await innkeeper.add_simulated(name)
    members = (
        ClusterMember(name="m1", address="https://h1:8443", online=True),
        ClusterMember(name="m2", address="https://h2:8443", online=True),
    )
    for _ in range(2):
        await found(innkeeper, 3, evolve(FACTS, cluster_members=members))
        assert await names(innkeeper) == ["m1", "m2", "m1-2", "m2-2"]
    await innkeeper.put("vm-hosts/1/", name="renamed")
    await found(innkeeper, 3, evolve(FACTS, cluster_members=members))
    assert await names(innkeeper) == ["renamed", "m2", "m1", "m2-2"]
