"""The systemd units are valid and confine the daemons, as systemd's own tools report."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "systemd"
UNITS = ("innkeeper-regiond.service", "innkeeper-rackd.service")
SYSTEM_UNITS = Path("/lib/systemd/system")
MOST_EXPOSED = 1.2  # as systemd-analyze scores it, from 0 to 10; the rack has 1.1

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs Debian's systemd: apt-get install systemd"
)


def run(*argv: str) -> tuple[int, str]:
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "LC_ALL": "C"}
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root folder with the units of systemd and Innkeeper, and the programs that they start."""
    shutil.copytree(SYSTEM_UNITS, tmp_path / "lib/systemd/system", symlinks=True)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    programs = tmp_path / "opt/innkeeper/bin"
    programs.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    shutil.copy("/bin/true", tmp_path / "bin/kill")  # of ExecReload
    for unit in UNITS:
        shutil.copy(FOLDER / unit, units)
        shutil.copy("/bin/true", programs / unit.removeprefix("innkeeper-").removesuffix(".service"))
    return tmp_path


@pytest.fixture
def users(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir(exist_ok=True)
    code, output = run("systemd-sysusers", f"--root={tmp_path}", *map(str, sorted(FOLDER.glob("sysusers.d/*.conf"))))
    assert code == 0, output
    return tmp_path


def test_systemd_accepts_the_units_without_warnings(machine: Path) -> None:
    assert run("systemd-analyze", "verify", f"--root={machine}", "--man=no", *UNITS) == (0, "")


def test_a_mistake_in_a_unit_is_detected(machine: Path) -> None:
    unit = machine / "etc/systemd/system" / UNITS[0]
    unit.write_text(unit.read_text().replace("Restart=on-failure", "Restart=onfailure"))
    _, output = run("systemd-analyze", "verify", f"--root={machine}", "--man=no", *UNITS)
    assert "Failed to parse service restart specifier" in output


@pytest.mark.parametrize("unit", UNITS)
def test_the_exposure_of_each_daemon_is_within_the_limit(unit: str) -> None:
    code, output = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(FOLDER / unit))
    found = re.search(rf"Overall exposure level for {re.escape(unit)}: ([0-9.]+)", output)
    assert code == 0, output
    assert found, output
    assert float(found[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("unit", UNITS)
def test_each_daemon_is_limited_and_leaves_no_core_dump(unit: str) -> None:
    lines = (FOLDER / unit).read_text().splitlines()
    limits = dict(line.split("=", 1) for line in lines if line.startswith(("Limit", "MemoryMax", "TasksMax")))
    assert limits.keys() == {"LimitNOFILE", "LimitCORE", "MemoryMax", "TasksMax"}
    assert limits["LimitCORE"] == "0"


def test_the_region_may_slow_its_password_threads() -> None:
    """Else each login would be slow for everyone, as `@resources` is forbidden."""
    filters = re.findall("^SystemCallFilter=(.*)$", (FOLDER / UNITS[0]).read_text(), re.MULTILINE)
    assert filters[-1].split() == ["setpriority", "sched_setaffinity"]


def test_no_daemon_is_in_a_group_of_others(users: Path) -> None:
    """Debian's group libvirt is as good as root: the rack's user gets it by a command of the guide, or not at all."""
    accounts = [line.split(":") for line in (users / "etc/passwd").read_text().splitlines()]
    assert {(name, home, shell) for name, _, _, _, _, home, shell in accounts} == {
        (f"innkeeper-{daemon}", f"/var/lib/innkeeper-{daemon}", "/usr/sbin/nologin") for daemon in ("regiond", "rackd")
    }
    groups = {line.split(":")[0]: line.split(":")[3] for line in (users / "etc/group").read_text().splitlines()}
    assert groups == {"innkeeper-regiond": "", "innkeeper-rackd": ""}
    for unit in UNITS:
        assert "SupplementaryGroups=" not in (FOLDER / unit).read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")
def test_only_the_daemon_can_read_its_state_and_settings(users: Path) -> None:
    (users / "etc/innkeeper").mkdir()
    for daemon in ("regiond", "rackd"):
        (users / f"etc/innkeeper/{daemon}.toml").write_text("")
    files = map(str, sorted(FOLDER.glob("tmpfiles.d/*.conf")))
    code, output = run("systemd-tmpfiles", f"--root={users}", "--create", *files)
    assert code == 0, output
    accounts = dict(line.split(":")[0::2][:2] for line in (users / "etc/passwd").read_text().splitlines())
    for daemon in ("regiond", "rackd"):
        state = (users / f"var/lib/innkeeper-{daemon}").stat()
        assert (oct(state.st_mode & 0o777), str(state.st_uid)) == ("0o700", accounts[f"innkeeper-{daemon}"])
        settings = (users / f"etc/innkeeper/{daemon}.toml").stat()
        assert (oct(settings.st_mode & 0o777), settings.st_uid) == ("0o640", 0)
