"""A host's address changes: the server behind it must be the same one, and everything else stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from regiond.hosts.model import HostChange
from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.lxd_hosts import add, parameters
from tests.integration.support.tables import rows
from tests.support.waiting import eventually

SMALL: dict[str, Any] = {"cores": 1, "memory": 1024}


async def move(innkeeper: Deployment, host: Any, address: str) -> Any:
    return await innkeeper.put(f"vm-hosts/{host['id']}/", power_address=address)


async def refusal(innkeeper: Deployment, host: Any, address: str) -> str:
    """What a refused change of the address says; nothing is changed."""
    before = await kept(innkeeper)
    with pytest.raises(InvalidRequest) as refused:
        await move(innkeeper, host, address)
    assert await kept(innkeeper) == before
    (text,) = refused.value.fields["power_address"]
    return str(text)


async def kept(innkeeper: Deployment) -> Any:
    """What a change of the address does not change, except the address itself."""
    return [
        await rows(innkeeper, query)
        for query in (
            "select id, name, project, state, server_id, pinned_fingerprint, key_pair_id, error_code"
            "  from vm_host order by id",
            "select * from machine order by id",
            "select * from claim order by id",
            "select id, fingerprint from key_pair order by id",
            "select id, identity from server order by id",
            "select rack_id, host_id, reaches from rack_reach order by rack_id, host_id",
        )
    ]


async def test_machines_claims_and_trust_stay(innkeeper: Deployment, lxds: FakeLxds) -> None:
    lxds.add(FakeLxd(name="lxd1"))
    lxds.aliases["lxd1-new"] = "lxd1"
    host = await add(innkeeper, project="web", password=lxds.servers["lxd1"].token())
    shared = await add(innkeeper, project="other", name="shared")
    await innkeeper.compose(host["id"], hostname="web", **SMALL)
    before = await kept(innkeeper)
    moved = await move(innkeeper, host, "lxd1-new")
    assert (moved["state"], moved["error"], moved["project"]) == ("ready", None, "web")
    assert await kept(innkeeper) == before
    assert (await parameters(innkeeper, host))["power_address"] == "https://lxd1-new:8443"
    assert (await parameters(innkeeper, shared))["power_address"] == "https://lxd1:8443"
    events = await innkeeper.region.components.services.events.list()
    (event,) = [one for one in events if one.kind == "host_address_changed"]
    assert (event.username, "from https://lxd1:8443 to https://lxd1-new:8443" in event.message) == ("admin", True)
    await innkeeper.compose(host["id"], hostname="next", **SMALL)


async def test_another_certificate_is_refused(innkeeper: Deployment, lxds: FakeLxds) -> None:
    lxds.add(FakeLxd(name="lxd1"), FakeLxd(name="lxd2"))
    host = await add(innkeeper, password=lxds.servers["lxd1"].token())
    await innkeeper.compose(host["id"], **SMALL)
    text = await refusal(innkeeper, host, "lxd2")
    found, pinned = lxds.servers["lxd2"].fingerprint, lxds.servers["lxd1"].fingerprint
    assert "its machines are on the server at https://lxd1:8443".lower() in text.lower()
    assert (found in text, pinned in text) == (True, True)


async def test_an_address_where_nothing_answers_is_refused(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("one")
    await innkeeper.compose(host["id"], **SMALL)
    with innkeeper.simulated("two").down():
        assert "could not be read" in await refusal(innkeeper, host, "simulated:two?cores=4&memory_mib=12288")
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["state"] == "ready"


@pytest.mark.slow
async def test_a_new_address_that_hangs_is_refused_before_clients_give_up(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("one")
    await innkeeper.compose(host["id"], **SMALL)
    before = await kept(innkeeper)
    change = HostChange(address="simulated:two?cores=4&memory_mib=12288")
    with innkeeper.held(name="two"), pytest.raises(InvalidRequest) as refused:
        await innkeeper.region.components.services.hosts.update(innkeeper.admin, host["id"], change, wait_s=1.5)
    assert "did not answer within 1 s" in refused.value.fields["power_address"][0]
    assert await kept(innkeeper) == before


async def test_the_address_stays_while_an_operation_acts(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], **SMALL)
    with innkeeper.held("create volume"):
        operation = await innkeeper.begin_compose(host["id"], **SMALL)
        await innkeeper.wait_for_state(operation, "running")
        with pytest.raises(InnkeeperError, match=rf"while operation {operation} \(compose\) acts on it"):
            await move(innkeeper, host, "simulated:sim?cores=9&memory_mib=12288")
    assert await innkeeper.ended(operation) == "succeeded"
    assert (await move(innkeeper, host, "simulated:sim?cores=9&memory_mib=12288"))["total"]["cores"] == 9


async def test_another_server_is_refused_when_a_machine_is_composed_meanwhile(innkeeper: Deployment) -> None:
    """The host had no machine when the change began: it may become another server, unless it has one at the end."""
    host = await innkeeper.add_simulated("one")
    other = "simulated:two?cores=4&memory_mib=12288"
    async with innkeeper.region.components.database.transaction() as db:
        await db.execute("select from vm_host for key share")  # the change waits for it, a compose does not
        moving = asyncio.ensure_future(move(innkeeper, host, other))
        await eventually(lambda: rows(innkeeper, "select from pg_locks where not granted"))
        await innkeeper.compose(host["id"], **SMALL)
    with pytest.raises(InnkeeperError, match="a machine was composed on it at the same time"):
        await moving
    assert (await parameters(innkeeper, host))["power_address"].startswith("simulated:one?")
    assert "the server there is" in await refusal(innkeeper, host, other)
