"""What the pages offer for deployments: who may deploy, the images, the user data that is sent."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from common.guests.deployment_spec import ImageFormat
from common.values import DriverType, PowerState
from regiond.images.model import Image, ImageState
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller, PoolRole
from regiond.ui.machines.deploy_form import (
    encoded_user_data,
    image_choices,
    root_disk_bytes,
    vm_host_choices,
    with_vm_host,
)
from regiond.ui.machines.machine_actions import deployment_obstacle, may_abort, may_export, may_rebuild, removals
from tests.unit.support.api_samples import IMAGE
from tests.unit.support.machine_samples import MACHINE

ADMIN = Caller(account_id=1, username="mira", is_admin=True)
POOL = MACHINE.pool.id
OWNER = Caller(account_id=2, username="ann", is_admin=False, grants={POOL: PoolRole.OPERATOR})
OTHER = Caller(account_id=3, username="ben", is_admin=False, grants={POOL: PoolRole.OPERATOR})
VIEWER = Caller(account_id=4, username="cy", is_admin=False, grants={POOL: PoolRole.VIEWER})
ROOT = MACHINE.disks[0].size_bytes


def machine(state: MachineState = MachineState.ALLOCATED, owner: str | None = "ann") -> MachineView:
    return evolve(MACHINE, state=state, owner=owner, adopted=False, host_id=1)


def image(name: str, *, title: str = "", disk_bytes: int = ROOT, state: ImageState = ImageState.READY) -> Image:
    return evolve(
        IMAGE, name=name, title=title, state=state, format=ImageFormat.RAW, virtual_size_bytes=disk_bytes,
        received_bytes=IMAGE.size_bytes,
    )  # fmt: skip


def test_nobody_deploys_a_locked_machine() -> None:
    for state, owner in ((MachineState.ALLOCATED, "ann"), (MachineState.READY, None)):
        locked = evolve(machine(state, owner), locked=True, is_stock=owner is None, composed_by="ann")
        for caller in (ADMIN, OWNER):
            assert "is locked" in str(deployment_obstacle(caller, locked))


@pytest.mark.parametrize("change", [{"locked": True}, {"state": MachineState.BROKEN}])
def test_stock_that_nobody_can_allocate_is_not_in_use(change: Mapping[str, Any]) -> None:
    stock = evolve(machine(MachineState.READY, None), is_stock=True, **change)
    obstacle = str(deployment_obstacle(OTHER, stock))
    assert "is stock: only whoever made it and administrators act on it." in obstacle
    assert "Allocate it" not in obstacle


@pytest.mark.parametrize(
    ("composed_by", "by_allocate", "offered"),
    [("ann", False, ("release", "delete")), ("mira", False, ("release",)), ("mira", True, ("release", "delete"))],
)
def test_an_owner_is_offered_to_delete_what_it_composed(
    composed_by: str, by_allocate: bool, offered: tuple[str, ...]
) -> None:
    own = evolve(machine(), composed_by=composed_by, composed_by_allocate=by_allocate)
    assert removals(OWNER, own) == offered
    assert removals(ADMIN, own) == ("release", "delete")


@pytest.mark.parametrize(
    ("caller", "state", "owner", "reason"),
    [
        (OWNER, MachineState.ALLOCATED, "ann", None),
        (ADMIN, MachineState.ALLOCATED, "ann", None),
        (OTHER, MachineState.READY, None, None),
        (OTHER, MachineState.ALLOCATED, "ann", "do not own"),
        (VIEWER, MachineState.READY, None, "Only operators"),
        (OWNER, MachineState.DEPLOYED, "ann", "release it first"),
        (OWNER, MachineState.FAILED_DEPLOYMENT, "ann", "release it first"),
        (OWNER, MachineState.DEPLOYING, "ann", "abort the deployment"),
    ],
)
def test_who_may_deploy_in_which_state(
    caller: Caller, state: MachineState, owner: str | None, reason: str | None
) -> None:
    obstacle = deployment_obstacle(caller, evolve(machine(state, owner), is_stock=True))
    assert obstacle is None if reason is None else reason in str(obstacle)


def test_what_is_in_use_is_deployed_by_whom_it_belongs_to() -> None:
    used = evolve(machine(MachineState.READY, None), composed_by=OWNER.username)
    assert deployment_obstacle(OWNER, used) is deployment_obstacle(ADMIN, used) is None
    assert "in use, and not yours" in str(deployment_obstacle(OTHER, used))


def test_a_vm_needs_a_host_and_a_root_disk_of_ours() -> None:
    assert "on no host" in str(deployment_obstacle(ADMIN, evolve(machine(), host_id=None)))
    for one in (evolve(machine(), adopted=True), evolve(machine(), disks=())):
        assert "no root disk" in str(deployment_obstacle(ADMIN, one))


@pytest.mark.parametrize(("caller", "may"), [(ADMIN, True), (OWNER, True), (OTHER, False), (VIEWER, False)])
def test_only_the_owner_rebuilds_what_has_a_system(caller: Caller, may: bool) -> None:
    deployed = machine(MachineState.DEPLOYED)
    assert may_rebuild(caller, deployed) is may
    assert may_rebuild(caller, machine(MachineState.FAILED_DEPLOYMENT)) is may
    refused = (
        machine(MachineState.ALLOCATED), machine(MachineState.DEPLOYING), evolve(deployed, locked=True),
        evolve(deployed, adopted=True), evolve(deployed, disks=()), evolve(deployed, host_id=None),
    )  # fmt: skip
    assert not any(may_rebuild(caller, one) for one in refused)


@pytest.mark.parametrize(("caller", "may"), [(ADMIN, True), (OWNER, True), (OTHER, False), (VIEWER, False)])
def test_only_the_owner_aborts(caller: Caller, may: bool) -> None:
    assert may_abort(caller, machine(MachineState.DEPLOYING)) is may
    assert not may_abort(caller, machine(MachineState.DEPLOYED))


def test_ready_images_of_the_architecture_are_offered() -> None:
    images = [
        image("ubuntu/noble", title="Ubuntu 24.04"),
        image("custom/huge", disk_bytes=ROOT + 1),
        image("debian/bookworm"),
        image("custom/bad", state=ImageState.CHECKING),
        evolve(image("ubuntu/jammy"), architecture="arm64"),
        evolve(image("here/x"), host_id=1, host_name="hv", host_ids=(1,)),
        evolve(image("there/x"), host_id=2, host_name="hv-2", host_ids=(2,)),
    ]
    choices = image_choices(images, machine())
    assert [one.label for one in choices if not one.obstacle] == [
        "debian/bookworm", "here/x", "Ubuntu 24.04 (ubuntu/noble)",
    ]  # fmt: skip
    assert [(one.label, "root disk" in one.obstacle, "hv-2" in one.obstacle) for one in choices[3:]] == [
        ("custom/huge", True, False), ("there/x", False, True),
    ]  # fmt: skip


def test_the_root_disk_is_the_first_one() -> None:
    data = evolve(MACHINE.disks[0], index=7, size_bytes=1)
    assert root_disk_bytes(evolve(MACHINE, disks=(data, *MACHINE.disks))) == ROOT
    assert root_disk_bytes(evolve(MACHINE, disks=())) == 0


def test_user_data_is_sent_with_the_line_ends_of_unix() -> None:
    assert base64.b64decode(encoded_user_data("#!/bin/sh\r\necho ü\r\n")) == "#!/bin/sh\necho ü\n".encode()
    assert encoded_user_data(" \r\n") == ""


def test_an_administrator_may_make_the_vm_a_host_unless_it_is_simulated() -> None:
    real, simulated = (evolve(MACHINE, driver=driver) for driver in (DriverType.LXD, DriverType.SIMULATED))
    assert [field for field, _ in vm_host_choices(real, is_admin=True)] == ["register_vmhost", "install_kvm"]
    assert vm_host_choices(real, is_admin=False) == vm_host_choices(simulated, is_admin=True) == ()
    assert with_vm_host({"comment": "x", "vm_host": "install_kvm"}) == {"comment": "x", "install_kvm": "true"}
    assert with_vm_host({"vm_host": ""}) == with_vm_host({"vm_host": "owner"}) == {}


def test_an_owner_is_offered_the_export_of_a_vm_that_is_off_on_any_driver() -> None:
    off = evolve(machine(), power_state=PowerState.OFF)
    for driver in DriverType:
        assert may_export(OWNER, evolve(off, driver=driver.value)), driver
    assert not may_export(OWNER, evolve(off, power_state=PowerState.ON))
    assert not may_export(OTHER, off)
