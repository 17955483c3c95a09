"""The removal of the last host of an LXD server removes Innkeeper's certificate there, or says why it stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.lxd_hosts import add, is_ready
from tests.integration.support.tables import rows, sql
from tests.support.waiting import eventually
from tests.unit.regiond.credentials.test_key_pairs import small_pair


async def events(innkeeper: Deployment, kind: str) -> list[Any]:
    found = await innkeeper.get("events/", op="query")
    return [one for one in found["events"] if one["kind"] == kind]


async def removal(innkeeper: Deployment) -> Any:
    (newest, *_) = [one for one in await innkeeper.get("operations/") if one["kind"] == "remove_host"]
    return newest


async def remove(innkeeper: Deployment, host: Any, **fields: str) -> Any:
    """Returns what the operation reports about the certificate, or None."""
    assert (await innkeeper.delete(f"vm-hosts/{host['id']}/", **fields)).status == 204
    return (await removal(innkeeper))["result"].get("certificate")


async def test_the_last_host_of_a_server_takes_the_certificate_along(innkeeper: Deployment, server: FakeLxd) -> None:
    first = await add(innkeeper, password=server.token())
    second = await add(innkeeper, name="second", project="web")
    (ours,) = server.trusted
    assert await remove(innkeeper, first) is None
    assert list(server.trusted) == [ours]
    assert await is_ready(innkeeper, second)
    plan = await innkeeper.delete(f"vm-hosts/{second['id']}/", dry_run="true")
    (planned,) = plan.json()["certificates"]
    assert (planned["fingerprint"], planned["removed"]) == (ours, True)
    assert "needs a new token" in planned["explanation"]
    assert (await remove(innkeeper, second))["removed"] is True
    assert server.trusted == {}
    assert await rows(innkeeper, "select id from key_pair") == []
    (event,) = await events(innkeeper, "certificate_removed")
    assert ours in event["description"]


async def test_a_kept_trust_needs_no_token_when_added_again(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    before = dict(server.trusted)
    fate = await remove(innkeeper, host, keep_trust="true")
    assert (fate["removed"], server.trusted) == (False, before)
    again = await add(innkeeper)
    assert await is_ready(innkeeper, again)
    assert server.trusted == before
    await remove(innkeeper, again)
    assert server.trusted == {}
    assert await rows(innkeeper, "select id from key_pair") == []


async def test_a_server_that_does_not_answer_keeps_the_certificate(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    (ours,) = server.trusted
    server.lost += ["untrust"] * 4
    fate = await remove(innkeeper, host)
    assert (fate["removed"], fate["fingerprint"]) == (False, ours)
    assert f"lxc config trust remove {ours}" in fate["message"]
    assert (await events(innkeeper, "certificate_left"))[0]["description"] == fate["message"]
    assert await innkeeper.get("vm-hosts/") == []


@pytest.mark.slow
async def test_a_certificate_that_stays_is_named_in_a_warning(innkeeper: Deployment, server: FakeLxd) -> None:
    first = await add(innkeeper, password=server.token())
    (ours,) = server.trusted
    server.restricted |= {ours}
    second = await add(innkeeper, name="second", project="web")
    answer = await innkeeper.delete(f"vm-hosts/{second['id']}/")
    assert (answer.status, answer.warnings) == (204, ())
    answer = await innkeeper.delete(f"vm-hosts/{first['id']}/")
    (warning,) = answer.warnings
    assert (answer.status, f"Innkeeper's certificate {ours} stays on the server's trust list" in warning) == (204, True)
    assert f"lxc config trust remove {ours}" in warning


@pytest.mark.slow
async def test_the_identity_that_may_not_remove_itself_is_named_in_a_warning(
    innkeeper: Deployment, server: FakeLxd
) -> None:
    host = await add(innkeeper, password=server.token())
    (ours,) = server.trusted
    server.identities.add(ours)
    (warning,) = (await innkeeper.delete(f"vm-hosts/{host['id']}/")).warnings
    assert "an identity without the permission can_delete_identities" in warning
    assert f"lxc auth identity delete tls/{ours}" in warning


@pytest.mark.slow
@pytest.mark.parametrize("option", ["force", "keep_trust"])
async def test_a_certificate_that_may_be_an_identitys_has_both_commands(
    innkeeper: Deployment, server: FakeLxd, option: str
) -> None:
    host = await add(innkeeper, password=server.token())
    (ours,) = server.trusted
    both = f"lxc config trust remove {ours} — or, if it is that of an identity: lxc auth identity delete tls/{ours}"
    server.lost += ["reach"] * 9  # force is for hosts that do not answer
    plan = await innkeeper.delete(f"vm-hosts/{host['id']}/", dry_run="true", **{option: "true"})
    assert both in plan.json()["certificates"][0]["explanation"]
    await innkeeper.delete(f"vm-hosts/{host['id']}/", **{option: "true"})
    assert both in (await removal(innkeeper))["result"]["certificate"]["message"]


@pytest.mark.slow
async def test_incus_has_no_command_for_identities(innkeeper: Deployment, lxds: FakeLxds) -> None:
    incus = FakeLxd(name="lxd1", product="Incus", reports={"product": "Incus"})
    lxds.add(incus)
    host = await add(innkeeper, password=incus.token())
    (ours,) = incus.trusted
    fate = await remove(innkeeper, host, keep_trust="true")
    assert fate["message"].endswith(f"run on the server: incus config trust remove {ours}")


@pytest.mark.slow
async def test_a_certificate_that_is_kept_on_request_is_no_warning(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    answer = await innkeeper.delete(f"vm-hosts/{host['id']}/", keep_trust="true")
    assert (answer.status, answer.warnings, len(server.trusted)) == (204, (), 1)


@pytest.mark.parametrize("lost", ["untrust", "untrust!"], ids=["before", "after"])
async def test_a_connection_lost_once_is_tried_again(innkeeper: Deployment, server: FakeLxd, lost: str) -> None:
    host = await add(innkeeper, password=server.token())
    server.lost.append(lost)
    assert (await remove(innkeeper, host))["removed"] is True
    assert (server.trusted, server.lost) == ({}, [])


@pytest.mark.slow
async def test_an_unknown_outcome_is_not_said_to_be_one(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    (ours,) = server.trusted
    server.lost += ["untrust!", "untrust"]  # the server has acted, and does not answer again
    fate = await remove(innkeeper, host)
    assert (fate["removed"], fate["uncertain"], server.trusted) == (False, True, {})
    assert f"{ours} may still be on the server's trust list" in fate["message"]
    assert (await events(innkeeper, "certificate_left"))[0]["description"] == fate["message"]


async def test_a_restricted_certificate_stays_and_is_named(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    server.restricted |= set(server.trusted)
    (ours,) = server.trusted
    fate = await remove(innkeeper, host)
    assert (fate["removed"], fate["uncertain"], fate["fingerprint"]) == (False, False, ours)
    assert "restricted to projects" in fate["message"]
    assert list(server.trusted) == [ours]


async def test_an_imported_certificate_stays(innkeeper: Deployment, server: FakeLxd) -> None:
    pair = small_pair()
    server.trust(pair.certificate_pem)
    host = await add(innkeeper, certificate=pair.certificate_pem, key=pair.key_pem)
    await eventually(lambda: is_ready(innkeeper, host))
    fate = await remove(innkeeper, host)
    assert (fate["removed"], "imported" in fate["message"]) == (False, True)
    assert list(server.trusted) == [pair.fingerprint]


async def test_each_of_several_certificates_has_a_command_of_its_own(innkeeper: Deployment, server: FakeLxd) -> None:
    """One of them is often gone, which must not stop the others."""
    host = await add(innkeeper, password=server.token())
    (ours,) = server.trusted
    await sql(innkeeper, "update key_pair set retired_fingerprint = 'ab12' returning id")
    server.lost += ["reach"] * 9
    plan = await innkeeper.delete(f"vm-hosts/{host['id']}/", force="true", dry_run="true")
    (planned,) = plan.json()["certificates"]
    assert f"lxc config trust remove ab12; lxc config trust remove {ours}" in planned["explanation"]


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["false", "true"])
async def test_of_concurrent_removals_the_last_one_decides(innkeeper: Deployment, server: FakeLxd, keep: str) -> None:
    hosts = [await add(innkeeper, password=server.token())]
    hosts += [await add(innkeeper, name=f"hv{number}", project=f"p{number}") for number in range(3)]
    await asyncio.gather(*(innkeeper.delete(f"vm-hosts/{host['id']}/", keep_trust=keep) for host in hosts))
    assert len(server.trusted) == (1 if keep == "true" else 0)
    assert len(await rows(innkeeper, "select id from key_pair")) == len(server.trusted)


async def test_a_host_that_was_never_reached_is_removed_alone(innkeeper: Deployment, lxds: FakeLxds) -> None:
    lxds.add(FakeLxd(name="lxd1"))
    host = await add(innkeeper)
    fate = await remove(innkeeper, host)
    assert fate is None or fate["removed"] is True
    assert await rows(innkeeper, "select id from key_pair") == []
