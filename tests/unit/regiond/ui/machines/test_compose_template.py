"""The template on the compose form: who is offered, and what the form has of it."""

from __future__ import annotations

from attrs import evolve

from common.values import PowerState
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller
from regiond.ui.machines.compose import compose_template
from regiond.ui.machines.compose.compose_form import ComposeForm, DiskRow, NicRow
from regiond.ui.machines.compose.compose_request import asked_by
from tests.unit.support.api_samples import ADMIN
from tests.unit.support.machine_samples import MACHINE

OFF = evolve(MACHINE, power_state=PowerState.OFF.value, state=MachineState.READY, owner=None)
STRANGER = Caller(account_id=9, username="sam", is_admin=False)
TYPED = ComposeForm(
    values={"template": OFF.hostname, "hostname": "new", "count": "1", "cores": "1", "memory": "2048"},
    ticks=frozenset({"power_on"}),
    nics=(NicRow(number=0, name="eth0", space="front"),),
)


def test_only_machines_that_can_be_copied_are_offered() -> None:
    running = evolve(OFF, hostname="runs", power_state=PowerState.ON.value)
    broken = evolve(OFF, hostname="broken", state=MachineState.BROKEN)
    elsewhere = evolve(OFF, hostname="far", host_name="other")
    machines = (running, elsewhere, OFF, broken)
    assert [name for name, _ in compose_template.template_choices(ADMIN, machines, "")] == sorted(("far", OFF.hostname))
    assert compose_template.template_choices(ADMIN, machines, "other") == [("far", "far")]
    assert compose_template.template_choices(STRANGER, machines, "") == []


def test_the_form_has_the_hardware_and_keeps_what_it_has_not() -> None:
    form = compose_template.like(TYPED, OFF)
    assert not compose_template.is_new(form)
    assert (form.text("hostname"), form.text("cores"), form.text("memory"), form.text("host")) == (
        "new", str(OFF.cores), str(OFF.memory_mib), OFF.host_name,
    )  # fmt: skip
    assert [row.size for row in form.disks] == [str(-(-disk.held_bytes // 10**9)) for disk in OFF.disks]
    assert "power_on" in form.ticks
    asked = asked_by(form)
    assert asked.problems == {}
    assert (asked.fields["template"], asked.fields["interfaces"]) == (OFF.hostname, None)


def test_a_form_without_a_template_has_one_disk_again() -> None:
    left = evolve(compose_template.like(TYPED, OFF), values={**TYPED.values, "template": ""})
    form = compose_template.like(left, None)
    assert (form.disks, form.nics, form.text("hostname")) == ((DiskRow(number=0),), (), "new")
    assert asked_by(form).fields["template"] is None
