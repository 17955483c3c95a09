"""Which addresses a host reserves for a machine, and when the ledger gives one to another machine."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.integration.networks.test_nic_links import NETWORKS, Nic, allocated, reaches, ready
from tests.integration.support.images import add_image
from tests.integration.support.tables import rows, sql
from tests.support.rejections import invalid_fields
from tests.support.waiting import eventually

OLD, NEW = "10.1.0.7", "10.1.0.9"


def reserved(innkeeper: Deployment, guest: str = "web") -> Sequence[str | None]:
    return innkeeper.simulated().reserved_addresses_of(guest)


async def release(nic: Nic) -> None:
    await nic.innkeeper.post(f"machines/{nic.system_id}/", op="release")
    await reaches(nic, "Ready")


async def deploy(nic: Nic) -> None:
    await nic.innkeeper.post(f"machines/{nic.system_id}/", op="deploy")
    await reaches(nic, "Deployed")


async def begin_release(nic: Nic, step: str, **fields: str) -> None:
    """Returns when the release has begun this step."""
    await nic.innkeeper.post(f"machines/{nic.system_id}/", op="release", headers=ASYNC, **fields)

    async def reached() -> bool:
        return bool(await sql(nic.innkeeper, "select 1 from operation where is_open and step = $1", step))

    await eventually(reached)


async def relinked(innkeeper: Deployment) -> Nic:
    """An allocated machine, composed with the address OLD, that its owner has linked to NEW."""
    nic = await allocated(innkeeper, interfaces=f"eth0:ip={OLD}")
    await nic.link("STATIC", ip_address=NEW, force="true")
    return nic


async def reason_against(nic: Nic, address: str) -> str:
    (reason,) = (await invalid_fields(nic.link("STATIC", ip_address=address)))["ip_address"]
    return str(reason)


async def takes(nic: Nic, address: str) -> bool:
    linked = await nic.link("STATIC", ip_address=address, force="true")
    return bool(linked["links"][0]["ip_address"] == address)


@pytest.mark.slow
@pytest.mark.parametrize(("force", "step"), [("true", "power_off"), ("false", "shut_down")])
async def test_the_links_of_a_running_guest_are_not_restored(innkeeper: Deployment, force: str, step: str) -> None:
    await add_image(innkeeper)
    web, other = await relinked(innkeeper), await ready(innkeeper, "other")
    await deploy(web)
    with innkeeper.simulated().hold("power"):
        await begin_release(web, step, force=force)
        assert await web.links() == [("static", NEW)]
        assert "belongs to machine web" in await reason_against(other, NEW)
    await reaches(web, "Ready")
    assert await web.links() == [("static", OLD)]


@pytest.mark.slow
async def test_an_address_is_free_when_the_host_reserves_it_no_more(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    web, other = await relinked(innkeeper), await ready(innkeeper, "other")
    await deploy(web)
    with innkeeper.simulated().hold("empty root disk"):
        await begin_release(web, "empty_root_disk")
        assert ("static", OLD) in await web.links()
        assert reserved(innkeeper) == [NEW]
        assert "whose VM host may still reserve it" in await reason_against(other, NEW)
    await reaches(web, "Ready")
    assert reserved(innkeeper) == [OLD]
    assert await takes(other, NEW)


@pytest.mark.slow
async def test_a_release_after_an_aborted_deployment_restores_the_reservations(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS, boot="fails")
    web, other = await relinked(innkeeper), await ready(innkeeper, "other")

    async def booted() -> bool:
        return bool(await rows(innkeeper, "select 1 from deployment where booted_at is not null"))

    await innkeeper.post(f"machines/{web.system_id}/", op="deploy")
    await eventually(booted)
    await innkeeper.post(f"machines/{web.system_id}/", op="abort")
    await reaches(web, "Allocated")
    assert (await web.links(), reserved(innkeeper)) == ([("static", NEW)], [NEW])
    await release(web)
    assert (await web.links(), reserved(innkeeper)) == ([("static", OLD)], [OLD])
    assert await takes(other, NEW)


async def test_a_ready_machine_keeps_the_address_that_its_host_reserves(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    web, other = await ready(innkeeper, interfaces=f"eth0:ip={OLD}"), await ready(innkeeper, "other")
    await web.link("STATIC", ip_address=NEW, force="true")
    assert reserved(innkeeper) == [OLD]
    assert await reason_against(other, OLD) == (
        f"{OLD} is kept for machine web, whose VM host may still reserve it: its next deployment or release ends that."
    )
    await innkeeper.post("machines/", op="allocate", system_id=web.system_id)
    await release(web)
    assert (await web.links(), reserved(innkeeper)) == ([("static", NEW)], [NEW])
    assert await takes(other, OLD)


async def test_a_deployment_gives_back_what_a_ready_machine_kept(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    web, other = await ready(innkeeper, interfaces=f"eth0:ip={OLD}"), await ready(innkeeper, "other")
    await web.link("STATIC", ip_address=NEW, force="true")
    await deploy(web)
    assert reserved(innkeeper) == [NEW]
    assert await takes(other, OLD)


async def test_a_machine_takes_back_what_it_keeps(innkeeper: Deployment) -> None:
    web = await ready(innkeeper, interfaces=f"eth0:ip={OLD}")
    await web.do("disconnect")
    assert await web.links() == []
    assert await takes(web, OLD)


async def test_a_machine_keeps_no_address_that_its_host_never_had(innkeeper: Deployment) -> None:
    """However often its owner changes the link."""
    web, other = await relinked(innkeeper), await ready(innkeeper, "other")
    for number in range(20, 24):
        assert await takes(web, f"10.1.0.{number}")
    kept = await rows(innkeeper, "select host(address) from ip_address order by address")
    assert kept == [(OLD,), ("10.1.0.23",)]
    assert await takes(other, NEW)


async def test_a_release_without_changes_does_not_touch_the_reservations(innkeeper: Deployment) -> None:
    web = await allocated(innkeeper, interfaces=f"eth0:ip={OLD}")
    await release(web)
    steps = await rows(innkeeper, "select step from operation_log where step = 'set_addresses'")
    assert (steps, reserved(innkeeper)) == ([], [OLD])
