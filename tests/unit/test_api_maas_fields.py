"""Fields that clients of MAAS send or read, and that have little meaning here: accepted, or rejected in words."""

from __future__ import annotations

import pytest

from tests.unit.api_double import ApiDouble

MACHINE = "machines/wdpx3n/"


@pytest.mark.parametrize(("swap_size", "status"), [("0", 200), ("", 200), ("5K", 400), ("1024", 400)])
def test_swap_space_is_rejected_rather_than_dropped(api: ApiDouble, swap_size: str, status: int) -> None:
    reply = api.request("PUT", MACHINE, form={"swap_size": swap_size})
    assert reply.status == status, reply
    assert (b"user data of the deployment does" in reply.body) == (status == 400)


def test_a_deployment_ignores_crash_dumps(api: ApiDouble) -> None:
    reply = api.request("POST", MACHINE, op="deploy", form={"enable_kernel_crash_dump": "true"})
    assert (reply.status, reply.headers["Warning"]) == (200, '299 - "Ignored fields: enable_kernel_crash_dump"')


@pytest.mark.parametrize("verbose", ["true", "1", "True"])
def test_an_allocation_can_be_verbose(api: ApiDouble, verbose: str) -> None:
    assert "verbose_storage" in api.json("POST", "machines/", op="allocate", form={"verbose": verbose})


def test_machines_have_the_keys_of_newer_releases(api: ApiDouble) -> None:
    machine = api.json("GET", MACHINE)
    shown = {name: machine[name] for name in ("interface_test_status", "enable_kernel_crash_dump", "is_dpu")}
    assert shown == {"interface_test_status": None, "enable_kernel_crash_dump": False, "is_dpu": False}
    assert machine["interface_test_status_name"] is None
