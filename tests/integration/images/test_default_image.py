"""The image of deployments that name none: an upload never changes it, and an administrator sets it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.errors import InvalidRequest, NotAllowed
from innkeeper.request_body import Body
from regiond.db import migrations
from regiond.images.service import Images
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.images.test_image_upload_command import logged_in
from tests.integration.support.images import add_image
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user
from tests.integration.support.web_client import WebClient
from tests.support.disk_images import raw_disk, upload
from tests.support.rejections import invalid_fields
from tests.unit.command.processes import in_shell

pytestmark = pytest.mark.database

AMD64, ARM64 = "amd64/generic", "arm64/generic"


async def default(innkeeper: Deployment, architecture: str = AMD64) -> str:
    """The name of the image with which a deployment that names none is made, or why it is refused."""
    images = innkeeper.region.components.services.images
    assert isinstance(images, Images)
    try:
        return (await images.find_for_deployment("", architecture)).name
    except InvalidRequest as error:
        (problem,) = error.fields["distro_series"]
        return str(problem)


async def config(innkeeper: Deployment) -> tuple[str, str]:
    osystem, series = [
        await innkeeper.get(f"maas/?op=get_config&name={name}") for name in ("default_osystem", "default_distro_series")
    ]
    return osystem, series


async def set_config(innkeeper: Deployment, name: str, value: str) -> None:
    body = Body(fields=[("name", name), ("value", value)])
    answer = await innkeeper.api.send("POST", "maas/?op=set_config", body=body)
    assert answer.body == b"OK"


async def test_the_first_image_stays_the_default_when_another_is_uploaded(rackless: Deployment) -> None:
    await upload(rackless, raw_disk(), name="ubuntu/noble")
    assert (await default(rackless), await config(rackless)) == ("ubuntu/noble", ("ubuntu", "noble"))
    await upload(rackless, raw_disk(seed=1), name="debian/bookworm")
    assert (await default(rackless), await config(rackless)) == ("ubuntu/noble", ("ubuntu", "noble"))


async def test_the_only_image_stays_the_default_although_nothing_was_recorded_of_it(rackless: Deployment) -> None:
    await add_image(rackless, "custom/test")
    await upload(rackless, raw_disk(seed=1), name="debian/bookworm")
    assert await default(rackless) == "custom/test"


async def test_the_migration_records_the_only_image_of_an_architecture(rackless: Deployment) -> None:
    migration = (Path(migrations.__file__).parent / "0035_default_image.sql").read_text(encoding="utf-8")
    record = migration[migration.index("insert into") :]
    await add_image(rackless, "custom/installer", filetype="iso")
    await add_image(rackless, "custom/test", content=b"a" * 1024)
    await sql(rackless, record)
    assert [tuple(row) for row in await sql(rackless, "select * from default_image")] == [("amd64", "custom/test")]
    await sql(rackless, "delete from default_image")
    await add_image(rackless, "custom/other", content=b"b" * 1024)
    await sql(rackless, record)
    assert await sql(rackless, "select * from default_image") == []


async def test_each_architecture_keeps_its_first_image(rackless: Deployment) -> None:
    await upload(rackless, raw_disk(), name="ubuntu/noble")
    await upload(rackless, raw_disk(seed=1), name="custom/pi", architecture="arm64")
    await upload(rackless, raw_disk(seed=2), name="custom/other", architecture="arm64")
    assert (await default(rackless), await default(rackless, ARM64)) == ("ubuntu/noble", "custom/pi")
    assert await config(rackless) == ("ubuntu", "")  # no single name is the default


async def test_an_iso_image_is_no_default(rackless: Deployment) -> None:
    await add_image(rackless, "custom/installer", filetype="iso")
    await upload(rackless, raw_disk(), name="ubuntu/noble")
    assert await default(rackless) == "ubuntu/noble"


async def test_an_administrator_sets_the_default(rackless: Deployment) -> None:
    await upload(rackless, raw_disk(), name="ubuntu/noble")
    await upload(rackless, raw_disk(seed=1), name="custom/web")
    await set_config(rackless, "default_distro_series", "web")
    assert (await default(rackless), await config(rackless)) == ("custom/web", ("custom", "web"))
    await set_config(rackless, "default_osystem", "ubuntu")
    assert (await default(rackless), await config(rackless)) == ("ubuntu/noble", ("ubuntu", "noble"))
    await upload(rackless, raw_disk(seed=2), name="debian/bookworm")
    assert await default(rackless) == "ubuntu/noble"
    changes = await sql(rackless, "select message from event where kind = 'default_image_changed' order by id")
    assert [row["message"] for row in changes] == [
        "The image custom/web is the default now: deployments that name no image use it.",
        "The image ubuntu/noble is the default now: deployments that name no image use it.",
    ]


async def test_a_default_that_is_deleted_is_not_replaced(rackless: Deployment) -> None:
    await upload(rackless, raw_disk(), name="ubuntu/noble")
    chosen = await upload(rackless, raw_disk(seed=1), name="custom/web")
    await set_config(rackless, "default_distro_series", "custom/web")
    await rackless.delete(f"boot-resources/{chosen['id']}/")
    refused = await default(rackless)
    assert refused.startswith(
        "The default image 'custom/web' does not exist for amd64, or was deleted. Name one of ubuntu/noble."
    )
    assert "innkeeper maas set-config name=default_distro_series" in refused
    await upload(rackless, raw_disk(seed=2), name="debian/bookworm")
    assert (await default(rackless)).startswith("The default image 'custom/web' does not exist")
    await upload(rackless, raw_disk(seed=3), name="custom/web")  # a newer build with the name of the choice
    assert await default(rackless) == "custom/web"


async def test_what_is_no_image_is_not_made_the_default(rackless: Deployment) -> None:
    await upload(rackless, raw_disk(), name="ubuntu/noble")
    await add_image(rackless, "custom/installer", filetype="iso")
    for name, value in (
        ("default_distro_series", "jammy"),
        ("default_distro_series", "custom/installer"),
        ("default_osystem", "debian"),
    ):
        problems = await invalid_fields(set_config(rackless, name, value))
        assert "ubuntu" in problems["value"][0], problems
    with pytest.raises(NotAllowed):
        await set_config(await as_user(rackless, "alice"), "default_distro_series", "noble")
    assert await default(rackless) == "ubuntu/noble"


async def test_the_command_of_the_refusal_sets_the_default(rackless: Deployment, tmp_path: Path) -> None:
    await add_image(rackless, "ubuntu/noble")
    await add_image(rackless, "custom/web", content=b"b" * 1024)
    refused = await default(rackless)
    assert refused.startswith("Name one of the images for amd64: custom/web, ubuntu/noble. None is the default.")
    command = refused[refused.index("innkeeper maas") :].rstrip(".").replace("OSYSTEM/SERIES", "custom/web")
    await logged_in(rackless, tmp_path)
    ran = await in_shell(tmp_path, command)
    assert (ran.status, ran.out.strip()) == (0, "OK"), ran.err
    assert await default(rackless) == "custom/web"


async def test_a_page_sets_the_default(rackless: Deployment) -> None:
    await add_administrator_with_password(rackless)
    await upload(rackless, raw_disk(), name="ubuntu/noble")
    web = await upload(rackless, raw_disk(seed=1), name="custom/web")
    client = WebClient(urlsplit(rackless.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    path = f"/MAAS/ui/settings/images/{web['id']}/default"
    assert f'href="{path}"' in (await client.get("/MAAS/ui/settings/images")).text
    asked = await client.get(path)
    assert "ubuntu/noble" in asked.text
    assert (await client.post(path, None, csrf=asked.csrf, confirmed="yes")).status == 303
    assert await default(rackless) == "custom/web"
    assert f'href="{path}"' not in (await client.get("/MAAS/ui/settings/images")).text
