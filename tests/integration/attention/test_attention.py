"""What needs attention: what is found, since when, for whom, and what is no longer found once it is mended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from regiond.attention import recent_quotas
from regiond.attention.model import AttentionLimits, ObjectType, Severity
from regiond.attention.service import Attention
from regiond.db.pool import Database
from regiond.quotas.model import Holdings, Limits, Quota
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_changed_disks import lose_volume
from tests.integration.support.adoption import refresh
from tests.integration.support.tables import sql
from tests.integration.support.two_pools import FOREIGN, NATIVE, Role, two_pools
from tests.integration.support.users import as_user
from tests.support.rejections import rejection
from tests.support.waiting import eventually
from tests.unit.support.api_samples import ADMIN, USER

pytestmark = pytest.mark.database

_OLD = "update vm_host_schedule set refreshed_at = now() - interval '3 hours' where host_id = $1"
_FAILED = "update machine set state = $2, error_description = 'because' where system_id = $1"
_EXPIRE = "update key_pair set expires_at = now() + $1::interval"
_KEY_PAIR = """
    with made as (
        insert into key_pair (certificate_pem, fingerprint, expires_at, sealed_key)
        values ('', 'ab', now() + interval '12 days', '') returning id)
    update vm_host h set key_pair_id = made.id from made where h.id = $1
"""
_RACK = """
    insert into rack (id, name, certificate_fingerprint, certificate_expires_at, joined_at, seen_at)
    values (gen_random_uuid(), 'rack-away', 'ab', now() + interval '5 hours', now() - interval '2 days',
            now() - interval '1 hour')
"""
_DISCREPANCY = """
    insert into discrepancy (kind, key, name, found, expected, remedy, ours, data_at_risk, repair_policy, sweeps,
                             first_seen_at)
    values ($1, $1, 'odd', 'a guest', 'none', 'This deletes it.', false, true, $2, $3, now() - interval '1 day')
"""
_WAITING = """
    insert into operation (kind, state, host_id, host_name, max_failures, created_at, error_message, account_id,
                           not_before)
    select 'rotate_credentials', 'waiting', id, name, 5, now() - $2::interval, 'connection refused', 1,
           now() + interval '1 day'
      from vm_host where id = $1
"""
_IMAGE = """
    insert into image (name, architecture, sha256, size_bytes, state, error, store_id, url)
    values ('custom/x', 'amd64', '', 0, 'failed', '404', gen_random_uuid(), 'https://a/b')
"""


async def listed(innkeeper: Deployment, **fields: Any) -> Any:
    return await innkeeper.get(f"attention/?{urlencode(fields)}")


async def items(innkeeper: Deployment, **fields: Any) -> dict[str, Any]:
    """What needs attention, by kind: one of each."""
    found = await listed(innkeeper, **fields)
    by_kind = {one["kind"]: one for one in found}
    assert len(by_kind) == len(found)
    return by_kind


def age(item: Any) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(item["since"])


async def test_a_fleet_that_is_well_needs_no_attention(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"])
    assert await items(innkeeper) == {}
    assert await innkeeper.get("attention/?op=counts") == {"total": 0, "broken": 0, "kinds": {}}


async def test_vms_that_are_missing_or_failed_are_found(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=16)
    machines = [await innkeeper.compose(host["id"], hostname=f"vm-{number}", cores=1) for number in range(4)]
    innkeeper.simulated().remove("vm-0")
    await refresh(innkeeper, host)
    for machine, state in zip(machines[1:], ("broken", "failed_deployment", "failed"), strict=True):
        await sql(innkeeper, _FAILED, machine["system_id"], state)
    found = await items(innkeeper)
    assert list(found) == ["vm_missing", "vm_broken", "vm_failed_deployment", "vm_failed"]
    for item in found.values():
        assert item["severity"] == "broken"
        assert age(item) < timedelta(minutes=1)
        assert (item["host_name"], item["pool"], item["zone"]) == ("sim", "default", "default")
    assert found["vm_missing"]["text"] == "vm-0 is missing from sim. The last refresh of sim did not list it."
    assert found["vm_broken"]["object_id"] == machines[1]["system_id"]
    assert found["vm_broken"]["cause"] == "because."
    assert (await innkeeper.get("attention/?op=counts"))["broken"] == 4


async def test_a_lost_volume_is_found_once_and_since_when(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], storage="root:8,data:5")
    lose_volume(innkeeper, 1)
    await refresh(innkeeper, host)
    first = (await items(innkeeper))["vm_volume_missing"]
    assert first["cause"].startswith("sim no longer has the volume ")
    await innkeeper.get("discrepancies/")  # has it too
    await refresh(innkeeper, host)
    assert await items(innkeeper) == {"vm_volume_missing": first}


async def test_hosts_are_found_by_their_state(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm")
    await sql(innkeeper, _OLD, host["id"])
    stale = (await items(innkeeper))["host_stale"]
    assert timedelta(hours=3) < age(stale) < timedelta(hours=4)
    assert stale["severity"] == "caution"
    for code, state, kind, severity in (
        ("host_unreachable", "unreachable", "host_unreachable", "broken"),
        ("peer_changed", "unreachable", "host_rejected", "broken"),
        ("not_trusted", "pending", "host_not_trusted", "caution"),
    ):
        statement = "update vm_host set state = $1, error_code = $2, error_message = 'why' where id = $3"
        await sql(innkeeper, statement, state, code, host["id"])
        found = await items(innkeeper)
        assert list(found) == [kind]
        assert (found[kind]["severity"], found[kind]["cause"]) == (severity, "why.")
        assert age(found[kind]) < timedelta(minutes=1)
    await sql(innkeeper, "update vm_host set state_since = null, error_message = 'else'")
    assert (await items(innkeeper))["host_not_trusted"]["since"] is None


async def test_a_closed_host_may_have_old_data(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm")
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="maintenance")
    await sql(innkeeper, _OLD, host["id"])
    assert await items(innkeeper) == {}


async def test_a_lowered_ratio_makes_a_host_overcommitted(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm", cores=4, memory_mib=8192)
    await innkeeper.compose(host["id"], cores=4, memory=2048)
    assert await items(innkeeper) == {}
    await innkeeper.put(f"vm-hosts/{host['id']}/", cpu_over_commit_ratio=0.5)
    item = (await items(innkeeper))["host_overcommitted"]
    assert item["text"] == "elm has over-committed cores. 4 of 2 cores are claimed, VMs of others included."
    attention = innkeeper.region.components.services.attention
    await attention.stop()  # a note does nothing while the region's own round has the lock
    await attention.note()
    noted = (await items(innkeeper))["host_overcommitted"]
    await attention.note()
    assert await items(innkeeper) == {"host_overcommitted": noted}
    await innkeeper.put(f"vm-hosts/{host['id']}/", cpu_over_commit_ratio=1)
    assert await items(innkeeper) == {}

    async def is_forgotten() -> bool:
        await attention.note()
        return await sql(innkeeper, "select * from attention_since") == []

    await eventually(is_forgotten)


async def test_storage_pools_and_quotas_are_found_from_the_limit_on(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm", pools="local:100")
    ann = await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", user="ann", machines=2, storage=1000)
    await ann.post("machines/", op="allocate", storage="89", cpu_count=1, mem=1024)
    assert await items(innkeeper) == {}
    await ann.post("machines/", op="allocate", storage="2", cpu_count=1, mem=1024)

    async def both() -> Any:
        found = await items(innkeeper)
        return len(found) == 2 and found

    found = await eventually(both)  # the usage of quotas is read some milliseconds ago
    assert list(found) == ["storage_pool_full", "quota_full"]
    assert found["storage_pool_full"]["text"] == (
        "Storage pool local of elm is nearly full. 91 of 100 GB are claimed or in other use (91 %)."
    )
    assert found["quota_full"]["text"] == "The quota of user ann is used up. 2 of 2 VMs are held."
    assert (await innkeeper.get("attention/?op=counts"))["kinds"] == {"storage_pool_full": 1, "quota_full": 1}
    assert list(await items(ann)) == ["storage_pool_full", "quota_full"]
    assert list(await items(await as_user(innkeeper, "eve"))) == ["storage_pool_full"]
    await innkeeper.region.components.services.attention.note()
    assert len(await sql(innkeeper, "select * from attention_since")) == 2
    assert host["id"] == found["storage_pool_full"]["host_id"]


async def test_a_pool_that_is_unavailable_is_found(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated("elm", pools="fast:50,big:200:unavailable")
    found = await items(innkeeper)
    assert found["storage_pool_unavailable"]["text"].startswith("Storage pool big of elm is unavailable. No disk")
    assert list(found) == ["storage_pool_unavailable"], "one cause has one line"


async def test_certificates_racks_and_the_rest_are_found(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm")
    await sql(innkeeper, _KEY_PAIR, host["id"])
    assert (await items(innkeeper))["certificate_expiring"]["text"].startswith(
        "elm has credentials that expire in 11 days. They are valid until"
    )
    await sql(innkeeper, _EXPIRE, timedelta(days=-1))
    expired = (await items(innkeeper))["certificate_expiring"]
    assert (expired["severity"], age(expired).days) == ("broken", 1)
    await sql(innkeeper, "update vm_host set key_pair_id = null")
    await sql(innkeeper, _RACK)
    await sql(innkeeper, "update region_process set started_at = now() - interval '1 minute'")
    await sql(innkeeper, _DISCREPANCY, "unknown_guest", "approval", 1)
    await sql(innkeeper, _DISCREPANCY, "machine_missing", "none", 1)  # the VM says so
    await sql(innkeeper, _DISCREPANCY, "orphaned_claim", "automatic", 1)  # is repaired
    await sql(innkeeper, _WAITING, host["id"], timedelta(minutes=11))
    await sql(innkeeper, _WAITING, host["id"], timedelta(minutes=9))
    await sql(innkeeper, _IMAGE)
    found = await items(innkeeper)
    assert list(found) == ["rack_away", "certificate_expiring", "discrepancy", "operation_waiting", "image_failed"]
    assert [age(one).total_seconds() // 3600 for one in found.values()] == [1, 19, 24, 0, 0]
    assert found["operation_waiting"]["cause"] == "connection refused."
    assert found["discrepancy"]["remedy"] == "This deletes it. Approve the repair."
    user = await as_user(innkeeper, "ann")
    assert list(await items(user)) == ["operation_waiting"]
    assert (await user.get("attention/?op=counts"))["total"] == 1


async def test_everybody_sees_what_is_in_own_pools(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    for contents in pools.contents.values():
        await sql(innkeeper, _FAILED, contents.system_id, "broken")
        await sql(innkeeper, _OLD, contents.host_id)
    expected = {Role.ADMIN: 4, Role.VIEWER: 2, Role.OPERATOR: 2, Role.ELSEWHERE: 2}
    for role, number in expected.items():
        found = await pools.as_role(role).get("attention/")
        assert len(found) == number
        assert (await pools.as_role(role).get("attention/?op=counts"))["total"] == number
        if role is not Role.ADMIN:
            hidden = FOREIGN if role is not Role.ELSEWHERE else NATIVE
            assert hidden not in str(found)


@pytest.mark.slow
async def test_filters_choose_kind_zone_pool_and_host(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    native = pools.contents[NATIVE]
    await innkeeper.post("zones/", name="east")
    await innkeeper.put(f"vm-hosts/{native.host_id}/", zone="east")
    for contents in pools.contents.values():
        await sql(innkeeper, _FAILED, contents.system_id, "broken")
        await sql(innkeeper, _OLD, contents.host_id)

    async def names(**fields: Any) -> list[str]:
        return sorted(one["name"] for one in await listed(innkeeper, **fields))

    assert await names(kind="vm_broken") == ["foreign-machine", "native-machine"]
    assert await names(pool="native-pool", kind="host_stale") == ["native-server"]
    assert await names(host=native.host_id) == await names(host="native-server")
    assert await names(zone="east", kind="host_stale") == ["native-server"]
    assert await names(q="foreign-m") == ["foreign-machine"]
    assert len(await names(limit=3)) == 3
    assert "zone" in (await rejection(listed(innkeeper, zone="nowhere"))).details["fields"]


async def test_a_host_is_overcommitted_where_its_capacity_says_so(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm", cores=100, memory_mib=102_400)
    path = f"vm-hosts/{host['id']}/"
    await innkeeper.compose(host["id"], cores=29, memory=29_696)
    for cpu, memory, reserved in ((0.29, 0.29, 0), (0.28, 1, 0), (1, 0.28, 0), (0.29, 0.29, 1), (1, 1, 71), (1, 1, 72)):
        ratios = {"cpu_over_commit_ratio": cpu, "memory_over_commit_ratio": memory}
        changed = await innkeeper.put(path, **ratios, reserved_cores=reserved)
        amounts = [changed["capacity"][name] for name in ("cores", "memory_mib")]
        expected = any(one["claimed"] + one["elsewhere"] > one["claimable"] for one in amounts)
        assert ("host_overcommitted" in await items(innkeeper)) is expected, (cpu, memory, reserved)


async def _no_quotas() -> tuple[Quota, ...]:
    return ()


@pytest.mark.parametrize(("days", "severity"), [(12, Severity.CAUTION), (-1, Severity.BROKEN)])
async def test_the_certificate_of_the_api_is_for_administrators(
    database: Database, days: int, severity: Severity
) -> None:
    expires_at = datetime.now(UTC) + timedelta(days=days)
    attention = Attention(database, AttentionLimits(), quotas=_no_quotas, certificate_expires_at=lambda: expires_at)
    (group,) = await attention.groups(caller=ADMIN)
    (item,) = group.items
    assert (item.object_type, item.severity, item.name) == (ObjectType.REGION, severity, "The API")
    assert item.since == (expires_at if days < 0 else expires_at - timedelta(days=30))
    assert (await attention.counts(caller=ADMIN)).total == 1
    assert await attention.groups(caller=USER) == ()
    assert (await attention.counts(caller=USER)).total == 0


async def test_a_certificate_that_is_valid_for_long_needs_nothing(database: Database) -> None:
    later = datetime.now(UTC) + timedelta(days=31)
    attention = Attention(database, AttentionLimits(), quotas=_no_quotas, certificate_expires_at=lambda: later)
    assert await attention.groups(caller=ADMIN) == ()


async def test_no_page_waits_for_quotas_that_are_slow(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_quotas, "QUICK_S", -1.0)  # every query takes longer
    held = [1]

    async def quotas() -> tuple[Quota, ...]:
        return (Quota(id=1, pool_id=0, pool="default", limits=Limits(machines=2), used=Holdings(machines=held[0])),)

    attention = Attention(database, AttentionLimits(), quotas=quotas, certificate_expires_at=lambda: None)
    await attention.note()
    held[0] = 2
    assert (await attention.counts(caller=ADMIN)).total == 0
    await attention.note()
    assert (await attention.counts(caller=ADMIN)).total == 1
    ((item,),) = [group.items for group in await attention.groups(caller=ADMIN)]
    assert item.since is not None
