"""Instances of one id, as a restored backup and its original have: one of them is listed."""

from __future__ import annotations

from itertools import permutations
from typing import Any
from unittest.mock import create_autospec
from uuid import UUID

import pytest
from attrs import evolve

from common.errors import HostUnreachable
from common.values import OwnershipMarker
from rackd.drivers.lxd.connection.capabilities import capabilities_of
from rackd.drivers.lxd.connection.client import Client, Scope
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory import reader
from rackd.drivers.lxd.inventory.facts import ServerResponses
from rackd.drivers.lxd.inventory.ownership import COMPLETED_KEY, UUID_KEY, marker_config
from rackd.drivers.lxd.inventory.power_states import FROZEN, RUNNING, STOPPED
from tests.unit.rackd.lxd.test_lxd_facts import ANSWERS

MARKER = OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2))
GUEST_ID = str(UUID(int=3))
STATUS = {RUNNING: "Running", STOPPED: "Stopped", FROZEN: "Frozen"}
LONG, SHORT = "db-production", "db-old"


def instance(name: str, status_code: int, *, member: str = "n1", marked: bool = True) -> dict[str, Any]:
    config = {UUID_KEY: GUEST_ID, **({COMPLETED_KEY: GUEST_ID, **marker_config(MARKER)} if marked else {})}
    return {
        "name": name, "type": "virtual-machine", "architecture": "x86_64", "project": "vms", "location": member,
        "status": STATUS[status_code], "status_code": status_code, "config": config, "expanded_config": config,
        "expanded_devices": {},
    }  # fmt: skip


def answers(*instances: dict[str, Any], member: str | None = None) -> ServerResponses:
    return evolve(ANSWERS, instances=instances, member=member)


def listed(responses: ServerResponses) -> list[str]:
    return [guest.name for guest in reader.guests_of(responses)[0]]


@pytest.mark.parametrize(
    ("long", "short", "chosen"),
    [(RUNNING, STOPPED, LONG), (FROZEN, STOPPED, LONG), (STOPPED, RUNNING, SHORT), (STOPPED, STOPPED, SHORT)],
)
def test_the_instance_that_is_not_off_counts(long: int, short: int, chosen: str) -> None:
    for pair in permutations([instance(LONG, long), instance(SHORT, short)]):
        guests, problems = reader.guests_of(answers(*pair))
        (other,) = {LONG, SHORT} - {chosen}
        assert [guest.name for guest in guests] == [chosen]
        assert [one.subject for one in problems] == [other]
        assert problems[0].message.endswith(f": lxc copy {other} NEW --project vms")


def test_a_marked_instance_counts_before_one_that_runs() -> None:
    assert listed(answers(instance(SHORT, RUNNING, marked=False), instance(LONG, STOPPED))) == [LONG]


@pytest.mark.parametrize("status_code", [RUNNING, STOPPED])
def test_all_members_of_a_cluster_count_the_same_instance(status_code: int) -> None:
    pair = instance(LONG, status_code, member="n1"), instance(SHORT, STOPPED, member="n2")
    first, second = (answers(*pair, member=member) for member in ("n1", "n2"))
    elsewhere = [[one.member for one in reader.marked_elsewhere(run)] for run in (first, second)]
    if status_code == RUNNING:
        assert (listed(first), listed(second), elsewhere) == ([LONG], [], [[], ["n1"]])
    else:
        assert (listed(first), listed(second), elsewhere) == ([], [SHORT], [["n2"], []])


def test_a_copy_is_not_taken_for_an_instance_whose_member_is_silent() -> None:
    """LXD knows only the name of the original. Taken for it, the copy would be deleted and powered instead."""
    silent = {"name": LONG, "location": "n2", "status": "Error", "type": "", "config": None}
    client = create_autospec(Client, instance=True)
    client.get.return_value = [silent, instance(SHORT, STOPPED)]
    found = Instances(
        client=client, scope=Scope(project="vms", member="n1"), capabilities=capabilities_of({"environment": {}})
    )
    with pytest.raises(HostUnreachable, match="n2 does not respond"):
        found.marked(name=LONG, marker=MARKER)
    assert found.marked(name=SHORT, marker=MARKER) is not None  # nothing of that name is silent
