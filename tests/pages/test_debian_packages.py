"""The Debian packages on a new Debian: built, installed, used, upgraded and purged, as an operator does.

Takes some ten minutes for each release of Debian: chroots to build them twice and to use them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pages.fresh_machine import HOME, FreshMachine
from tests.pages.packages import INSTALL_S, LATER, MAKE_LATER, SUITES, Operator, build, differing
from tests.support.waiting import eventually

pytestmark = [pytest.mark.lab]

PACKAGES = ("innkeeper", "innkeeper-rack", "innkeeper-region")
PASSWORD = "ruddy-otter-47-lanterns"  # noqa: S105
SIMULATED = "/var/lib/simulated-hosts"
# What purging leaves on purpose, and what other packages, apt and the test write.
STAYS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/etc/.pwd.lock")
OTHERS = (
    HOME,
    SIMULATED,
    "/root/.config",  # the profile of who typed `innkeeper`
    "/var/cache",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/log",
    "/tmp",  # noqa: S108
    "/var/tmp",  # noqa: S108
    "/var/lib/systemd",
)
EVERYTHING = "find / -xdev -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -print"


@pytest.fixture
def operator(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    machine = FreshMachine(tmp_path_factory.mktemp("fresh"), suite)
    try:
        machine.start()
        yield Operator(machine)
    finally:
        machine.stop()


@pytest.mark.parametrize("suite", SUITES)
def test_two_builds_of_a_commit_are_equal(suite: str, packages: Callable[[str], list[Path]], tmp_path: Path) -> None:
    first = packages(suite)
    again = build(suite, tmp_path, umask=0o002, TZ="FAR-14", LANG="de_DE.UTF-8", HOSTNAME="elsewhere", PYTHONPATH=".")
    assert [file.name for file in first] == [file.name for file in again]
    assert [line for pair in zip(first, again, strict=True) for line in differing(*pair)] == []


@pytest.mark.deadline(5400)
@pytest.mark.parametrize("suite", SUITES)
async def test_packages_are_installed_used_upgraded_and_purged(
    suite: str, packages: Callable[[str], list[Path]], operator: Operator
) -> None:
    built = packages(suite)
    assert sorted(file.name.split("_")[0] for file in built) == list(PACKAGES)
    for file in built:
        operator.machine.write(file.name, file.read_bytes())
    operator.types("apt-get update && apt-get install python3", network=True)  # the stand-in of systemctl needs it
    operator.types("apt-get install postgresql qemu-utils libvirt0", network=True)
    before = set(operator.types(EVERYTHING).splitlines())

    operator.types("apt-get install --no-install-recommends ./*.deb", network=True)
    await nothing_runs_before_it_is_configured(operator)
    await region_and_rack_serve(operator)
    await settings_survive_an_upgrade(operator)
    await purging_leaves_only_what_the_guide_says(operator, before)


async def nothing_runs_before_it_is_configured(operator: Operator) -> None:
    for daemon in ("regiond", "rackd"):
        assert operator.types(f"systemctl is-enabled innkeeper-{daemon} || true") == "disabled"
        assert operator.types(f"systemctl is-active innkeeper-{daemon} || true") == "inactive"
        mode = operator.types(f"stat -c '%a %U %G' /etc/innkeeper/{daemon}.toml /var/lib/innkeeper-{daemon}")
        assert mode.splitlines() == [
            f"640 root innkeeper-{daemon}",
            f"700 innkeeper-{daemon} innkeeper-{daemon}",
        ]
    assert operator.types("systemctl is-enabled innkeeper-backup.timer || true") == "disabled"
    versions = operator.types("innkeeper --version; regiond --version; rackd --version").splitlines()
    assert len({line.split()[1] for line in versions}) == 1
    assert operator.types("dpkg --verify innkeeper innkeeper-region innkeeper-rack") == ""


async def region_and_rack_serve(operator: Operator) -> None:
    operator.types(f"mkdir -m 1777 {SIMULATED}")
    # No daemon starts with an endpoint if the packages lack the libraries for traces.
    settings = f'simulated_hosts = "{SIMULATED}"\ntraces_endpoint = "http://127.0.0.1:4318"'
    operator.machine.configure("/etc/innkeeper/regiond.toml", settings)
    operator.types("innkeeper region init", given=f"{PASSWORD}\n")
    assert operator.types("stat -c '%a %U %G' /etc/innkeeper/regiond.toml") == "640 root innkeeper-regiond"
    operator.machine.configure("/etc/innkeeper/rackd.toml", settings)
    operator.types("systemctl enable --now innkeeper-regiond")
    token = operator.types("innkeeper rack token")
    operator.types("innkeeper rack join -", given=f"{token}\n")
    operator.types("systemctl enable --now innkeeper-rackd")
    operator.types("innkeeper vm-hosts create type=simulated name=sim 'power_address=simulated:sim?cores=4'")
    operator.types("innkeeper vm-host compose sim hostname=web-1 cores=1 memory=1024 storage=root:4")
    operator.types("innkeeper machine power-on web-1")
    assert power_states(operator) == {"web-1": "on"}


def power_states(operator: Operator) -> dict[str, str]:
    return {machine["hostname"]: machine["power_state"] for machine in operator.asks("machines read")}


async def settings_survive_an_upgrade(operator: Operator) -> None:
    daemons = ("regiond", "rackd")
    settings = operator.types("sha256sum /etc/innkeeper/*.toml")
    processes = [operator.process_of(daemon) for daemon in daemons]
    operator.types(MAKE_LATER, deadline_s=INSTALL_S)
    # Without a terminal dpkg keeps what a person changed, with this option as without a question.
    printed = operator.types(
        "apt-get install --no-install-recommends -o Dpkg::Options::=--force-confold ./later/*.deb", deadline_s=INSTALL_S
    )
    assert "Schema: up to date." in printed  # the package has looked before it restarted the region
    assert operator.types("dpkg-query -W -f '${Version}\n' innkeeper-region innkeeper-rack").split() == [LATER] * 2
    assert operator.types("sha256sum /etc/innkeeper/*.toml") == settings
    assert operator.types("stat -c %a /etc/innkeeper/regiond.toml") == "640"
    assert not {operator.process_of(daemon) for daemon in daemons} & set(processes)

    def linked() -> bool:
        (rack,) = operator.asks("racks read")
        return bool(rack["connected"])

    await eventually(linked)
    assert power_states(operator) == {"web-1": "on"}
    assert operator.asks("region check") == []


async def purging_leaves_only_what_the_guide_says(operator: Operator, before: set[str]) -> None:
    operator.types("runuser -u innkeeper-regiond touch /var/backups/innkeeper/today")
    operator.types("apt-get purge innkeeper innkeeper-region innkeeper-rack")
    assert operator.types("pgrep -a -f /opt/[i]nnkeeper || true") == ""
    after = set(operator.types(EVERYTHING).splitlines())
    left = {path for path in after - before if not path.startswith(OTHERS) and not path.startswith(STAYS)}
    assert {path for path in left if not path.startswith(("/var/lib/postgresql", "/run"))} == {
        "/var/backups/innkeeper",
        "/var/backups/innkeeper/today",
    }
    assert operator.types("getent passwd innkeeper-regiond innkeeper-rackd | cut -d: -f1").split() == [
        "innkeeper-regiond",
        "innkeeper-rackd",
    ]
    counted = operator.types("runuser -l postgres -c \"psql -At innkeeper -c 'select count(*) from machine'\"")
    assert counted == "1"
