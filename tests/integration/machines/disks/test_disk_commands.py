"""The commands of disks on a terminal: sizes with units, what a removal would do, kept disks as a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.images.test_image_upload_command import logged_in
from tests.unit.command.processes import on_terminal

pytestmark = pytest.mark.database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


async def run(home: Path, line: str, prompt: str = "", typed: str = "") -> str:
    """Returns what the command prints. A command that has to be confirmed gets what is typed."""
    ran = await on_terminal(home, "admin", *line.split(), given={prompt: f"{typed}\n"} if prompt else {})
    assert ran.status == 0, ran.out
    return ran.out


@pytest.mark.slow
async def test_disks_are_changed_and_kept_on_a_terminal(innkeeper: Deployment, home: Path) -> None:
    await innkeeper.add_simulated("shelf", pools="local:500,nvme:200")
    await innkeeper.compose(innkeeper.hosts["shelf"], hostname="web", storage="root:8", power_on="true")
    await logged_in(innkeeper, home)
    planned = await run(home, "machine add-disk web size=500M pool=nvme --dry-run")
    assert "\n  web gets an empty disk of 0.5 GB in the storage pool nvme of shelf, while it runs." in planned
    assert " sdb      20.0  nvme          fast" in await run(home, "machine add-disk web size=20G pool=nvme tags=fast")
    await run(home, "machine grow-disk web disk=sdb size=30")
    assert "at next start  30.0 GB" in await run(home, "block-device read web sdb")
    asked = await run(home, "machine remove-disk web disk=sdb keep=true", "[y/N]", "y")
    assert "disk1 (20.0 GB in nvme) is kept with its content" in asked
    kept = (await run(home, "kept-disks read")).splitlines()
    assert kept[0].startswith("id  machine  size GB  host   storage pool")
    assert kept[1].startswith(" 1  web         20.0  shelf  nvme ")
    await run(home, "machine attach-disk web kept_disk=1")
    grave = await run(home, "machine remove-disk web disk=sdc", "Type web to confirm:", "web")
    assert "  disk2 (20.0 GB in nvme) and all data on it are deleted." in grave
    assert "no VMs" not in grave


@pytest.mark.slow
async def test_a_kept_disk_is_deleted_after_its_plan(innkeeper: Deployment, home: Path) -> None:
    await innkeeper.add_simulated("shelf")
    machine = await innkeeper.compose(innkeeper.hosts["shelf"], hostname="web", storage="root:8,data:5")
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post(path, op="remove_disk", disk="sdb", keep="true")
    await logged_in(innkeeper, home)
    asked = await run(home, "kept-disk delete 1", "Type web to confirm:", "web")
    assert "\n  This deletes the disk data of web (5.0 GB in default of shelf) and all data on it." in asked
    assert await innkeeper.get("kept-disks/") == []
