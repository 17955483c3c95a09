"""The units say what systemd understands, and give the daemons little to do harm with. Asked of systemd itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
UNITS = ("innkeeper-regiond.service", "innkeeper-rackd.service")
SYSTEM_UNITS = Path("/lib/systemd/system")
MOST_EXPOSED = 2.0

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs Debian's systemd: apt-get install systemd"
)


def told(*argv: str) -> tuple[int, str]:
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "LC_ALL": "C"}
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root folder with systemd's own units, ours, and programs where ours look for them."""
    shutil.copytree(SYSTEM_UNITS, tmp_path / "lib/systemd/system", symlinks=True)
    ours = tmp_path / "etc/systemd/system"
    ours.mkdir(parents=True)
    programs = tmp_path / "opt/innkeeper/bin"
    programs.mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(FOLDER / unit, ours)
        shutil.copy("/bin/true", programs / unit.removeprefix("innkeeper-").removesuffix(".service"))
    return tmp_path


@pytest.fixture
def users(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir(exist_ok=True)
    code, said = told("systemd-sysusers", f"--root={tmp_path}", str(FOLDER / "sysusers.d/innkeeper.conf"))
    assert code == 0, said
    return tmp_path


def test_systemd_has_nothing_to_say_about_the_units(machine: Path) -> None:
    assert told("systemd-analyze", "verify", f"--root={machine}", "--man=no", *UNITS) == (0, "")


def test_a_slip_in_a_unit_would_be_noticed(machine: Path) -> None:
    unit = machine / "etc/systemd/system" / UNITS[0]
    unit.write_text(unit.read_text().replace("Restart=on-failure", "Restart=onfailure"))
    _, said = told("systemd-analyze", "verify", f"--root={machine}", "--man=no", *UNITS)
    assert "Failed to parse service restart specifier" in said


@pytest.mark.parametrize("unit", UNITS)
def test_a_daemon_is_exposed_at_most_as_much_as_allowed(unit: str) -> None:
    code, said = told("systemd-analyze", "security", "--offline=true", "--no-pager", str(FOLDER / unit))
    found = re.search(rf"Overall exposure level for {re.escape(unit)}: ([0-9.]+)", said)
    assert code == 0, said
    assert found, said
    assert float(found[1]) <= MOST_EXPOSED


def test_each_daemon_has_a_user_of_its_own_and_only_the_rack_may_use_the_local_libvirt(users: Path) -> None:
    accounts = [line.split(":") for line in (users / "etc/passwd").read_text().splitlines()]
    assert {(name, home, shell) for name, _, _, _, _, home, shell in accounts} == {
        (f"innkeeper-{daemon}", f"/var/lib/innkeeper-{daemon}", "/usr/sbin/nologin") for daemon in ("regiond", "rackd")
    }
    groups = {line.split(":")[0]: line.split(":")[3] for line in (users / "etc/group").read_text().splitlines()}
    assert groups["libvirt"] == "innkeeper-rackd"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_state_and_settings_are_readable_by_their_daemon_alone(users: Path) -> None:
    (users / "etc/innkeeper").mkdir()
    for daemon in ("regiond", "rackd"):
        (users / f"etc/innkeeper/{daemon}.toml").write_text("")
    code, said = told("systemd-tmpfiles", f"--root={users}", "--create", str(FOLDER / "tmpfiles.d/innkeeper.conf"))
    assert code == 0, said
    accounts = dict(line.split(":")[0::2][:2] for line in (users / "etc/passwd").read_text().splitlines())
    for daemon in ("regiond", "rackd"):
        state = (users / f"var/lib/innkeeper-{daemon}").stat()
        assert (oct(state.st_mode & 0o777), str(state.st_uid)) == ("0o700", accounts[f"innkeeper-{daemon}"])
        settings = (users / f"etc/innkeeper/{daemon}.toml").stat()
        assert (oct(settings.st_mode & 0o777), settings.st_uid) == ("0o640", 0)
