"""The page about containers, on a new Debian with Podman: images of our packages, region and rack from them.

Debian's own image cannot be had without a registry of images: mmdebstrap makes one of the same packages, and takes its
place. Containers have no control groups, since those of the machine that runs the test are not theirs to change, and
the network of their machine, also where the page does not say so, since a bridge would be one of the test's machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pages.blocks import blocks_of
from tests.pages.fresh_machine import FreshMachine
from tests.pages.packages import Operator
from tests.support.waiting import eventually

pytestmark = [pytest.mark.lab]

PAGE = "docs/how-to/containers.md"
PASSWORD = "ruddy-otter-47-lanterns"  # noqa: S105
BASE = "docker.io/library/debian:trixie-slim"
# The settings of apt, and of names, that the registries need here.
MAKE_BASE = f"""
mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io trixie /root/base.tar \\
  --customize-hook='cp /etc/apt/apt.conf.d/9* "$1/etc/apt/apt.conf.d/"'
podman import --quiet /root/base.tar {BASE}
rm /root/base.tar
"""
# Both daemons get the folder of the simulated hosts by this file, which a person does not need.
PODMAN = """
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
install -d -m 1777 /simulated
cat >/etc/containers/containers.conf <<'END'
[containers]
cgroups = "disabled"
netns = "host"
env = ["INNKEEPER_SIMULATED_HOSTS=/simulated"]
volumes = ["/simulated:/simulated"]
END
"""
SUPERUSER = f"postgresql://postgres:{PASSWORD}@127.0.0.1/postgres"
ANSWERS = {
    " init --server": f"{SUPERUSER}\n{PASSWORD}\n",
    " init --for-restore": f"{SUPERUSER}\n",
    " migrate --server": f"{SUPERUSER}\n",
    " restore --server": f"{SUPERUSER}\n",
}
STATE = ("/var/lib/innkeeper-regiond", "/var/lib/innkeeper-rackd")


@pytest.fixture
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    machine = FreshMachine(tmp_path_factory.mktemp("fresh"))
    try:
        machine.start()
        yield Operator(machine)
    finally:
        machine.stop()


@pytest.mark.deadline(5400)
async def test_the_container_page_leads_to_region_and_rack(
    packages: Callable[[str], list[Path]], operator: Operator
) -> None:
    operator.types("mkdir -p dist/trixie")
    for file in packages("trixie"):
        operator.machine.write(f"dist/trixie/{file.name}", file.read_bytes())
    operator.types("apt-get update && apt-get install python3", network=True)  # the stand-in of systemctl needs it
    operator.types("apt-get install --no-install-recommends postgresql podman crun mmdebstrap", network=True)
    operator.types("runuser -l postgres -c psql", given=f"alter role postgres password '{PASSWORD}';\n")
    operator.types(PODMAN)
    operator.types(MAKE_BASE, network=True)

    follow_the_page(operator)
    images_have_no_state(operator)
    daemons_have_no_rights(operator)
    programs_are_complete(operator)
    await a_vm_runs(operator)
    health_follows_the_database(operator)
    await a_new_container_has_the_old_state(operator)
    await a_lost_region_is_restored(operator)


def follow_the_page(operator: Operator) -> None:
    for block in blocks_of(PAGE):
        if (file := block.marked("file")) is not None:
            operator.types(f"install -D -m 600 /dev/stdin {file}", given=block.text.replace("PASSWORD", PASSWORD))
        elif block.marked("on") == "podman" and "podman rm" not in block.text:
            types_commands(operator, block.text)


def types_commands(operator: Operator, commands: str) -> str:
    given = "".join(answer for command, answer in ANSWERS.items() if command in commands)
    builds = "podman build" in commands
    isolated = "export BUILDAH_ISOLATION=chroot\n" if builds else ""  # else it needs control groups
    on_base = commands.replace("podman build ", f"podman build --build-arg BASE={BASE} ")
    return operator.types(isolated + on_base, given=given, network=builds)


def repeats_commands(operator: Operator, part: str) -> str:
    (commands,) = (one.text for one in blocks_of(PAGE) if one.marked("on") == "podman" and part in one.text)
    return types_commands(operator, commands)


def in_region(operator: Operator, command: str) -> str:
    return operator.types(f"podman exec region innkeeper {command}")


def images_have_no_state(operator: Operator) -> None:
    """A key or a password in a layer is everyone's who gets the image."""
    for image in ("innkeeper-region", "innkeeper-rack"):
        run = f"podman run --rm --user 0 --network none --entrypoint /bin/sh {image} -c"
        assert operator.types(f"{run} 'find {' '.join(STATE)} -mindepth 1 2>/dev/null || true'") == ""
        assert (
            operator.types(f"{run} 'grep -rlE \"PRIVATE KEY|{PASSWORD}\" /etc /home /root /run /srv /var || true'")
            == ""
        )
        (inspected,) = json.loads(operator.types(f"podman image inspect {image}"))
        assert inspected["Config"]["User"] == {"innkeeper-region": "5240:5240", "innkeeper-rack": "5250:5250"}[image]


def daemons_have_no_rights(operator: Operator) -> None:
    for name, number in (("region", "5240"), ("rack", "5250")):
        status = operator.types(f"cat /proc/$(podman inspect --format '{{{{.State.Pid}}}}' {name})/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert set(fields["Uid"].split()) == {number}
        assert {int(fields[kind], 16) for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}
        assert fields["NoNewPrivs"] == "1"
        denied = f"podman exec {name} sh -c '! touch /opt/innkeeper/x 2>/dev/null && ! touch /etc/x 2>/dev/null'"
        operator.types(denied)


def programs_are_complete(operator: Operator) -> None:
    """What checks an image confines itself, which a container could forbid; a rack loads libvirt for the first host."""
    operator.types("podman exec region qemu-img create -q -f qcow2 /tmp/empty.qcow2 1G")
    in_region(operator, "boot-resources create name=empty title=Empty architecture=amd64 content@=/tmp/empty.qcow2")
    (image,) = json.loads(in_region(operator, "boot-resources read type=uploaded"))
    assert image["state"] == "ready", image
    operator.types("podman exec rack /opt/innkeeper/bin/python -c 'import libvirt'")


async def a_vm_runs(operator: Operator) -> None:
    in_region(operator, "vm-hosts create type=simulated name=sim 'power_address=simulated:sim?cores=4'")
    in_region(operator, "vm-host compose sim hostname=web-1 cores=1 memory=1024 storage=root:4")
    in_region(operator, "machine power-on web-1")
    assert power_states(operator) == {"web-1": "on"}
    operator.types("podman healthcheck run rack")


def power_states(operator: Operator) -> dict[str, str]:
    machines = json.loads(in_region(operator, "machines read"))
    return {machine["hostname"]: machine["power_state"] for machine in machines}


def health_follows_the_database(operator: Operator) -> None:
    healthy = "podman healthcheck run region >/dev/null 2>&1"
    operator.types(healthy)
    operator.types("systemctl stop postgresql")
    operator.types(f"until ! {healthy}; do sleep 0.2; done")
    operator.types("systemctl start postgresql")
    operator.types(f"until {healthy}; do sleep 0.2; done")


async def a_new_container_has_the_old_state(operator: Operator) -> None:
    operator.types("podman stop region rack")
    assert operator.types("podman inspect --format '{{.State.ExitCode}}' region rack").split() == ["0", "0"]
    repeats_commands(operator, "podman rm --force --time 60 region")
    repeats_commands(operator, "--name region")
    operator.types("podman start rack")
    await the_rack_is_linked(operator)
    assert power_states(operator) == {"web-1": "on"}


async def a_lost_region_is_restored(operator: Operator) -> None:
    repeats_commands(operator, "innkeeper-region backup")
    in_region(operator, "zones create name=since")
    operator.types("podman stop region && runuser -l postgres -c 'dropdb innkeeper'")
    for block in blocks_of(PAGE):
        if block.marked("on") == "podman-restored":
            types_commands(operator, block.text)
    repeats_commands(operator, "--name region")
    await the_rack_is_linked(operator)
    await eventually(lambda: power_states(operator) == {"web-1": "on"}, every_s=1.0)
    assert [zone["name"] for zone in json.loads(in_region(operator, "zones read"))] == ["default"]
    in_region(operator, "vm-host compose sim hostname=web-2 cores=1 memory=1024 storage=root:4")


async def the_rack_is_linked(operator: Operator) -> None:
    repeats_commands(operator, "until podman healthcheck")

    def linked() -> bool:
        (rack,) = json.loads(in_region(operator, "racks read"))
        return bool(rack["connected"])

    await eventually(linked)
