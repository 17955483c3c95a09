"""`op=console_log`: the serial output of a guest, for those who may see it."""

from __future__ import annotations

from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_deployments import composed, deploy, reaches
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user, own
from tests.support.rejections import rejection


async def console_log(innkeeper: Deployment, system_id: str) -> str:
    return (await innkeeper.send("GET", f"machines/{system_id}/", op="console_log")).text


async def test_the_owner_reads_what_the_guest_wrote(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper)
    assert await console_log(innkeeper, system_id) == ""
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, system_id, "ann")
    await deploy(ann, system_id)
    await reaches(innkeeper, system_id, "Deployed")
    assert (await console_log(ann, system_id)).endswith("vm login: ")


async def test_others_do_not_see_the_console(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    ann = await as_user(innkeeper, "ann")
    assert (await rejection(console_log(ann, system_id))).details["status"] == 403


async def test_a_host_that_is_down_is_the_reason(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    with innkeeper.simulated().down():
        assert (await rejection(console_log(innkeeper, system_id))).details["status"] == 503
