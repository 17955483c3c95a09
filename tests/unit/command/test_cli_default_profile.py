"""Commands without a profile: the default profile, and the region of this machine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from innkeeper.exit_status import ExitStatus
from innkeeper.local_region import local_profile
from tests.support.ports import free_port
from tests.unit.command.processes import Cli
from tests.unit.support.cli_region import BASE, KEY, Region, Reply


async def test_the_only_profile_can_be_omitted(logged_in: Cli, region: Region) -> None:
    region.give("GET vm-hosts/", Reply(200, [{"id": 7, "name": "a"}]))
    assert (await logged_in("vm-hosts", "read")).plain == (await logged_in("admin", "vm-hosts", "read")).plain


async def test_the_chosen_default_is_used_and_listed(cli: Cli, region: Region) -> None:
    for name in ("a", "b"):
        assert (await cli("login", name, region.url, KEY)).status == 0
    without = await cli("vm-hosts", "read")
    assert without.status == 1
    assert "innkeeper profiles default PROFILE" in without.err
    assert (await cli("profiles", "default", "b")).status == 0
    region.give("GET vm-hosts/", Reply(200, []))
    assert (await cli("vm-hosts", "read")).status == 0
    for command in ("profiles", "list"):  # the latter is MAAS's name
        assert {each["name"]: each["default"] for each in (await cli(command)).plain} == {"a": False, "b": True}
    assert (await cli("logout", "b")).status == 0
    assert [each["default"] for each in (await cli("profiles")).plain] == [True]  # the only one is left


async def test_the_default_must_exist(logged_in: Cli) -> None:
    ran = await logged_in("profiles", "default", "nobody")
    assert (ran.status, "There is no profile 'nobody'" in ran.err) == (1, True)


async def test_a_command_before_the_first_login_says_how_to_log_in(cli: Cli, region: Region) -> None:
    ran = await cli("vm-hosts", "read")
    assert (ran.status, "innkeeper login admin http" in ran.err) == (1, True)
    assert "profile 'vm-hosts'" not in ran.err


async def test_a_misspelt_profile_is_not_taken_for_a_resource(logged_in: Cli) -> None:
    ran = await logged_in("adnim", "vm-hosts", "read")
    assert (ran.status, "There is no profile 'adnim'" in ran.err) == (1, True)


async def test_a_profile_cannot_have_the_name_of_a_resource(cli: Cli, region: Region) -> None:
    ran = await cli("login", "vm-hosts", region.url, KEY)
    assert (ran.status, "that is a resource of the region" in ran.err) == (1, True)


async def test_two_profiles_in_one_command_are_rejected(cli: Cli, region: Region) -> None:
    for name in ("a", "b"):
        assert (await cli("login", name, region.url, KEY)).status == 0
    ran = await cli("a", "vm-hosts", "read", "--profile", "b")
    assert (ran.status, "names two profiles" in ran.err) == (1, True)


@pytest.fixture
def state(home: Path, region: Region) -> Path:
    """The state folder of a region of this machine."""
    folder = home / "region"
    folder.mkdir()
    (folder / "local.json").write_text(json.dumps({"url": f"{region.url}{BASE}", "key": KEY}))
    return folder


@pytest.mark.usefixtures("state")
async def test_local_commands_need_no_profile_on_the_machine(cli: Cli, region: Region) -> None:
    region.give("GET discrepancies/", Reply(200, []))
    assert (await cli("region", "check")).status == 0
    assert (await cli("profiles")).plain == []


@pytest.mark.usefixtures("state")
async def test_commands_of_the_api_need_no_profile_on_the_machine_either(cli: Cli, region: Region) -> None:
    assert [host["name"] for host in (await cli("vm-hosts", "read")).plain] == ["local"]
    assert "usage: innkeeper vm-host delete" in (await cli("vm-host", "delete", "--help")).out
    assert (await cli("profiles")).plain == []


async def test_the_region_of_the_machine_that_does_not_run_is_said(cli: Cli, state: Path) -> None:
    (state / "local.json").write_text(json.dumps({"url": f"http://127.0.0.1:{free_port()}{BASE}", "key": KEY}))
    for command in (["racks", "read"], ["vm-host", "delete", "--help"]):
        ran = await cli(*command)
        assert (ran.status, "Is the region running?" in ran.err) == (ExitStatus.NO_ANSWER, True), ran.err


def test_settings_and_checkout_name_the_local_region(tmp_path: Path) -> None:
    for folder in ("var", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "local.json").write_text(json.dumps({"url": f"http://{folder}/", "key": KEY}))
    settings = tmp_path / "regiond.toml"
    settings.write_text(f"state = '{tmp_path / 'other'}'\n")
    environment = {"INNKEEPER_CONFIG": str(settings)}
    found = local_profile(environment, programs=tmp_path / "elsewhere/.venv")
    assert found is not None
    assert found.url == "http://other/"
    (tmp_path / "dev").write_text("")
    found = local_profile(environment, programs=tmp_path / ".venv")
    assert found is not None
    assert found.url == "http://var/"
    assert local_profile({"INNKEEPER_STATE": str(tmp_path / "none")}) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="requires root, to become another user")
def test_another_user_reads_who_can_use_the_local_region(tmp_path: Path) -> None:
    (tmp_path / "local.json").write_text("{}")
    os.chown(tmp_path, 1, 1)
    tmp_path.chmod(0o700)
    for parent in tmp_path.parents:
        parent.chmod(stat.S_IMODE(parent.stat().st_mode) | 0o055)  # /dev/shm, for one, keeps its other bits
    program = (
        "import os; os.setgid(65534); os.setuid(65534)\n"
        "from innkeeper.local_region import local_profile\n"
        f"local_profile({{'INNKEEPER_STATE': {str(tmp_path)!r}}})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", f"import innkeeper.local_region\n{program}"], capture_output=True, text=True, check=False
    )
    assert "only root and daemon can. Run the command with sudo, or log in first" in ran.stderr
