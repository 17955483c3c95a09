"""What the region knows of the copies of images on hosts, and the space that they claim."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import WrongState
from rackd.drivers.simulated.driver import SimulatedDriver
from regiond.machines.running.deployment.image_copies import ImageCopyCollection
from tests.deployment.deployment import Deployment
from tests.integration.support.images import CONTENT, add_image
from tests.postgresql.database import execute, fetchval
from tests.support.clock import in_no_time
from tests.support.waiting import eventually

GB = 1000**3
_COPIES = """
    select c.state, c.size_bytes, p.claimed_bytes, p.used_elsewhere_bytes,
           coalesce((select sum(amount) from claim where image_copy_id = c.id), 0)::bigint as claimed_for_copy
      from image_copy c join storage_pool p on p.id = c.storage_pool_id order by c.id
"""


async def copies(innkeeper: Deployment) -> list[dict[str, Any]]:
    assert await innkeeper.ledger_problems() == []
    return [dict(row) for row in await innkeeper.fetch(_COPIES)]


async def composed(innkeeper: Deployment, count: int = 1, **host: Any) -> tuple[int, list[str]]:
    """The id of a new host, and the system ids of ready machines on it with disks of 8 GB."""
    made = await innkeeper.add_simulated(**{"cores": 16, "memory_mib": 32768, "storage_gb": 100, **host})
    machines = [await innkeeper.compose(made["id"], cores=1, memory=1024) for _ in range(count)]
    return made["id"], [str(machine["system_id"]) for machine in machines]


async def deploy(innkeeper: Deployment, system_id: str) -> None:
    await innkeeper.post(f"machines/{system_id}/", op="deploy")


async def reaches(innkeeper: Deployment, system_id: str, wanted: str) -> Any:
    async def has() -> bool:
        return (await innkeeper.get(f"machines/{system_id}/"))["status_name"] == wanted  # type: ignore[no-any-return]

    await eventually(has)
    return await innkeeper.get(f"machines/{system_id}/")


async def test_a_copy_claims_its_space_and_counts_once(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    host_id, (system_id,) = await composed(innkeeper)
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")
    expected = {
        "state": "complete", "size_bytes": len(CONTENT), "claimed_bytes": 8 * GB + len(CONTENT),
        "used_elsewhere_bytes": 0, "claimed_for_copy": len(CONTENT),
    }  # fmt: skip
    assert await copies(innkeeper) == [expected]
    await eventually(lambda: innkeeper.refreshed(host_id))
    assert await copies(innkeeper) == [expected]


async def test_two_deployments_at_once_claim_once_before_the_copy(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    host_id, machines = await composed(innkeeper, 2)
    with innkeeper.held("copy image"):
        for system_id in machines:
            await deploy(innkeeper, system_id)
        steps = "select count(*) from operation where kind = 'deploy' and step = 'copy_image'"
        database = innkeeper.region.components.database
        await eventually(lambda: _equals(fetchval(database, steps), 2))
        (copy,) = await copies(innkeeper)
        assert (copy["state"], copy["claimed_for_copy"]) == ("copying", len(CONTENT))
        assert copy["claimed_bytes"] == 16 * GB + len(CONTENT)
        await eventually(lambda: innkeeper.refreshed(host_id))  # finds no copy yet
        assert await copies(innkeeper) == [copy]
    for system_id in machines:
        await reaches(innkeeper, system_id, "Deployed")
    assert [copy["state"] for copy in await copies(innkeeper)] == ["complete"]
    assert len(innkeeper.simulated().images()) == 1
    images = innkeeper.region.components.services.images
    (image,) = await images.list()
    assert await images.hosts_with_copy() == {image.id: ("sim",)}


async def _equals(found: Any, wanted: object) -> bool:
    return bool(await found == wanted)


@pytest.mark.slow
async def test_a_pool_without_space_for_the_copy_fails_at_once(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    _, (system_id,) = await composed(innkeeper, storage_gb=8)
    await deploy(innkeeper, system_id)
    machine = await reaches(innkeeper, system_id, "Failed deployment")
    assert "has 0 bytes left" in machine["status_message"]
    assert str(len(CONTENT)) in machine["status_message"]
    assert innkeeper.simulated().images() == []
    assert machine["power_state"] == "off"
    assert await copies(innkeeper) == []


async def test_a_copy_that_is_gone_claims_nothing_after_a_refresh(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    host_id, (system_id,) = await composed(innkeeper)
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")
    with innkeeper.simulated().open() as db:
        db.execute("delete from volume where name like 'innkeeper-image-%'")
    await eventually(lambda: innkeeper.refreshed(host_id))
    assert await copies(innkeeper) == []
    assert await fetchval(innkeeper.region.components.database, "select claimed_bytes from storage_pool") == 8 * GB


@pytest.mark.slow
async def test_a_copy_that_the_host_reports_is_known_again(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    host_id, (system_id,) = await composed(innkeeper)
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")
    before = await copies(innkeeper)
    database = innkeeper.region.components.database
    await execute(database, "delete from claim where image_copy_id is not null")
    await execute(database, "delete from image_copy")
    await execute(database, "update storage_pool set claimed_bytes = $1", 8 * GB)
    await eventually(lambda: innkeeper.refreshed(host_id))
    assert await copies(innkeeper) == before


async def test_the_intent_of_a_deployment_that_copied_nothing_ends(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    host_id, (system_id,) = await composed(innkeeper)
    (innkeeper.in_process.settings.state / "images" / "sha256").rename(innkeeper.folder / "away")
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Failed deployment")
    assert [copy["state"] for copy in await copies(innkeeper)] == ["copying"]
    await eventually(lambda: innkeeper.refreshed(host_id))
    assert await copies(innkeeper) == []


async def deployed(innkeeper: Deployment, count: int = 1) -> tuple[int, list[str]]:
    """A host with deployed machines."""
    host_id, machines = await composed(innkeeper, count)
    for system_id in machines:
        await deploy(innkeeper, system_id)
    for system_id in machines:
        await reaches(innkeeper, system_id, "Deployed")
    return host_id, machines


async def collect(innkeeper: Deployment) -> None:
    """Does what the region does every ten minutes, and waits for the operations that it opens."""
    await ImageCopyCollection(innkeeper.region.components.database, keep_days=7).collect()
    open_ = "select not exists (select from operation where kind = 'clean_up' and is_open)"
    await eventually(lambda: fetchval(innkeeper.region.components.database, open_))


async def unused_for(innkeeper: Deployment, days: int) -> None:
    statement = "update image_copy set used_at = used_at - make_interval(days => $1)"
    await execute(innkeeper.region.components.database, statement, days)


@pytest.mark.slow
async def test_a_copy_that_was_not_used_for_days_is_removed(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    host_id, (system_id,) = await deployed(innkeeper)
    await unused_for(innkeeper, 6)
    await collect(innkeeper)
    assert len(innkeeper.simulated().images()) == 1
    await unused_for(innkeeper, 1)
    await collect(innkeeper)
    assert innkeeper.simulated().images() == []
    assert await copies(innkeeper) == []
    assert innkeeper.simulated().image_of(await hostname(innkeeper, system_id)) is not None
    await eventually(lambda: innkeeper.refreshed(host_id))
    assert await copies(innkeeper) == []


async def hostname(innkeeper: Deployment, system_id: str) -> str:
    return str((await innkeeper.get(f"machines/{system_id}/"))["hostname"])


@pytest.mark.slow
async def test_a_copy_that_its_host_uses_is_tried_again_a_day_later(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise WrongState("Volumes in use were not deleted")

    await add_image(innkeeper)
    host_id, _ = await deployed(innkeeper)
    await unused_for(innkeeper, 8)
    monkeypatch.setattr(SimulatedDriver, "remove_image", refuse)
    removals = "select count(*) from operation where request ? 'image_copy' and error_code = 'wrong_state'"
    database = innkeeper.region.components.database
    for _ in range(2):
        await collect(innkeeper)
        assert await fetchval(database, removals) == 1
        assert len(await copies(innkeeper)) == 1
        assert not await fetchval(database, "select count(*) from event where kind = 'image_copy_removed'")
        await eventually(lambda: innkeeper.refreshed(host_id))
    monkeypatch.undo()
    await execute(database, "update operation set finished_at = finished_at - interval '25 hours'")
    await collect(innkeeper)
    assert await copies(innkeeper) == []


@pytest.mark.slow
async def test_a_deployment_makes_a_copy_used_again(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    _, (system_id,) = await deployed(innkeeper)
    await unused_for(innkeeper, 8)
    await innkeeper.post(f"machines/{system_id}/", op="release")
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")
    await collect(innkeeper)
    assert len(innkeeper.simulated().images()) == 1


@pytest.mark.slow
async def test_a_copy_goes_with_its_image(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    await deployed(innkeeper)
    ((image_id,),) = await innkeeper.fetch("select id from image")
    plan = (await innkeeper.delete(f"boot-resources/{image_id}/", dry_run="true")).json()
    assert plan["effects"][-1] == "Its copies on VM hosts are removed: sim."
    await collect(innkeeper)
    assert len(innkeeper.simulated().images()) == 1
    await innkeeper.delete(f"boot-resources/{image_id}/")
    await collect(innkeeper)
    assert innkeeper.simulated().images() == []
    assert await copies(innkeeper) == []


@pytest.mark.slow
async def test_a_copy_that_a_deployment_uses_stays(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    _, (_, system_id) = await composed(innkeeper, 2)
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")
    await innkeeper.post(f"machines/{system_id}/", op="release")
    with innkeeper.held("write root disk"):
        await deploy(innkeeper, system_id)
        step = "select exists (select from operation where kind = 'deploy' and is_open and step = 'write_disk')"
        await eventually(lambda: fetchval(innkeeper.region.components.database, step))
        await execute(innkeeper.region.components.database, "delete from image")
        await unused_for(innkeeper, 8)
        await collect(innkeeper)
        assert len(innkeeper.simulated().images()) == 1
    await reaches(innkeeper, system_id, "Deployed")


@pytest.mark.slow
async def test_a_deployment_waits_for_the_removal_and_copies_again(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    _, (first, second) = await composed(innkeeper, 2)
    await deploy(innkeeper, first)
    await reaches(innkeeper, first, "Deployed")
    await unused_for(innkeeper, 8)
    database = innkeeper.region.components.database
    with innkeeper.held("remove image"):
        await ImageCopyCollection(database, keep_days=7).collect()
        await deploy(innkeeper, second)
        waiting = "select exists (select from operation where kind = 'deploy' and state = 'waiting')"
        await eventually(lambda: fetchval(database, waiting))
        assert [copy["state"] for copy in await copies(innkeeper)] == ["removing"]
    await reaches(innkeeper, second, "Deployed")
    assert [copy["state"] for copy in await copies(innkeeper)] == ["complete"]
    assert len(innkeeper.simulated().images()) == 1


@pytest.mark.slow
async def test_only_old_incomplete_copies_are_removed(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    await deployed(innkeeper)
    database = innkeeper.region.components.database
    await execute(database, "update image_copy set state = 'partial', changed_at = now() - interval '119 minutes'")
    await collect(innkeeper)
    assert len(await copies(innkeeper)) == 1
    await execute(database, "update image_copy set changed_at = now() - interval '121 minutes'")
    await collect(innkeeper)
    assert await copies(innkeeper) == []


@pytest.mark.slow
async def test_a_host_that_is_removed_loses_the_copies_on_it(innkeeper: Deployment) -> None:
    sha256 = await add_image(innkeeper)
    host_id, (system_id,) = await deployed(innkeeper)
    plan = await innkeeper.delete(f"vm-hosts/{host_id}/", dry_run="true")
    assert plan.json()["effects"] == [
        f"Copies of images that Innkeeper made are deleted: image {sha256[:12]} in storage pool default "
        f"({len(CONTENT)} bytes)."
    ]
    guest = await hostname(innkeeper, system_id)
    removal = await innkeeper.begin(f"vm-hosts/{host_id}/", method="DELETE")
    assert await innkeeper.ended(removal) == "succeeded"
    assert innkeeper.simulated().images() == []
    assert innkeeper.simulated().image_of(guest) == sha256  # the VM stays
    assert await copies(innkeeper) == []


async def test_an_image_deleted_during_a_deployment_is_read_to_its_end(innkeeper: Deployment) -> None:
    sha256 = await add_image(innkeeper)
    components = innkeeper.region.components
    content = innkeeper.in_process.settings.state / "images" / "sha256" / sha256
    _, (system_id,) = await composed(innkeeper)
    with innkeeper.held("find image"):
        await deploy(innkeeper, system_id)
        await eventually(
            lambda: _equals(
                fetchval(components.database, "select step from operation order by id desc limit 1"), "copy_image"
            )
        )
        ((image_id,),) = await innkeeper.fetch("select id from image")
        await innkeeper.delete(f"boot-resources/{image_id}/")
        await components.image_tasks.clean_up()
        assert content.exists()
    await reaches(innkeeper, system_id, "Deployed")
    await components.image_tasks.clean_up()
    assert not content.exists()


@pytest.mark.slow
async def test_a_host_that_does_not_answer_keeps_its_copies_and_they_are_named(innkeeper: Deployment) -> None:
    sha256 = await add_image(innkeeper)
    host_id, _ = await deployed(innkeeper)
    with innkeeper.simulated().down():
        removal = await innkeeper.begin(f"vm-hosts/{host_id}/", method="DELETE")
        assert await in_no_time(innkeeper.ended(removal)) == "succeeded"
    result = (await innkeeper.get(f"operations/{removal}/"))["result"]
    (left,) = result["image_copies_left"]
    assert left.startswith(f"image {sha256[:12]} in storage pool default")
    assert len(innkeeper.simulated().images()) == 1


@pytest.mark.slow
async def test_a_copy_that_somebody_deletes_meanwhile_is_made_again(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    _, (system_id,) = await composed(innkeeper)
    with innkeeper.held("write root disk"):
        await deploy(innkeeper, system_id)
        step = "select step from operation order by id desc limit 1"
        await eventually(lambda: _equals(fetchval(innkeeper.region.components.database, step), "write_disk"))
        with innkeeper.simulated().open() as db:
            db.execute("delete from volume where name like 'innkeeper-image-%'")
    await reaches(innkeeper, system_id, "Deployed")
    assert len(innkeeper.simulated().images()) == 1
