"""How the real sample recognises the moments of a scenario on simulated hosts and in the lab."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from rackd.drivers.simulated.fault_injection import Call
from tests.faults.real.lab_deployment import LabDeploy, has_image_copy, root_disk_has_image
from tests.faults.real.lab_hosts import LabCellHost
from tests.faults.scenarios import SCENARIOS
from tests.faults.scenarios.adoption import Forget
from tests.faults.scenarios.cell_hosts import GuestHost, SimulatedCellHost
from tests.faults.scenarios.scenario import RequestScenario

PLATFORMS = ("LXD", "Incus", "libvirt")
Shows = Callable[[GuestHost, Any], bool]  # given the cell's host and the scenario's state


@frozen(kw_only=True)
class Observation:
    """A scenario of the sample.

    `acted`: whether the host has carried the request out; None if it does not show that. `halfway`: whether a part of
    it is done. `step` is the operation's step during the call, where the rack logs no call; `host_call` is the rack's
    name of the call, of an operation with several. `may_fail`: the operation is not retried; the caller repeats the
    request.
    """

    scenario: RequestScenario
    acted: Shows | None = None
    halfway: Shows | None = None
    step: str | None = None
    host_call: str | None = None
    may_fail: bool = False


@frozen(kw_only=True)
class SimulatedObservation(Observation):
    """`call` is the host's call at which the operation is stopped, `halfway_call` a later one, with a part done.

    `request_table` is a table that the request writes to, `end_table` one that the operation's end writes to.
    """

    call: Call | None = None
    halfway_call: Call | None = None
    request_table: str = "operation"
    end_table: str = "operation"
    changes_host: bool = True


@frozen(kw_only=True)
class LabObservation(Observation):
    """`first_call`: acting is the first call that the region makes. `platforms`: those that have it."""

    first_call: bool = True
    platforms: tuple[str, ...] = PLATFORMS


def _exists(host: GuestHost, state: Any) -> bool:
    return host.is_marked(state.hostname) is not None


def _is_gone(host: GuestHost, state: Any) -> bool:
    return not host.marked()


def _has_marked_guest(host: GuestHost, _: Any) -> bool:
    assert isinstance(host, SimulatedCellHost)
    return bool(host.file.marked_guests())


def _has_orphaned_disks(host: GuestHost, _: Any) -> bool:
    """Both disks exist, and no guest yet."""
    assert isinstance(host, SimulatedCellHost)
    return len(host.file.orphaned_volumes()) == 2


def _has_begun(host: GuestHost, _: Any) -> bool:
    return bool(host.marked())


def _power_is(power: str) -> Shows:
    return lambda host, state: host.power(state.hostname) == power


def _marker_is(*, marked: bool) -> Shows:
    return lambda host, state: host.is_marked(state.name) is marked


def _guest_gone(host: GuestHost, state: Any) -> bool:
    return host.is_marked(state.hostname) is None


def _trusts_new_certificate(host: GuestHost, _: Any) -> bool:
    assert isinstance(host, LabCellHost)
    return host.has_new_certificate()


def _simulated(name: str, **how: Any) -> SimulatedObservation:
    return SimulatedObservation(scenario=_request_scenario(name), **how)


def _lab(name: str, **how: Any) -> LabObservation:
    return LabObservation(scenario=_request_scenario(name), **how)


def _request_scenario(name: str) -> RequestScenario:
    found = SCENARIOS[name]
    assert isinstance(found, RequestScenario)
    return found


SIMULATED: Mapping[str, SimulatedObservation] = {
    one.scenario.name: one
    for one in (
        _simulated("compose", call="find existing guest", halfway_call="define guest", halfway=_has_orphaned_disks,
                   acted=_has_marked_guest),
        _simulated("power_on", call="power", acted=_power_is("on")),
        _simulated("allocate_ready", changes_host=False),
        _simulated("allocate_composed", call="find existing guest", halfway_call="define guest",
                   halfway=_has_orphaned_disks, acted=_has_marked_guest),
        _simulated("release_ready", call="power", acted=_power_is("off")),
        _simulated("adopt", call="add marker", acted=_marker_is(marked=True)),
        _simulated("forget", call="remove marker", acted=_marker_is(marked=False)),
        _simulated("delete", call="remove guest", acted=_guest_gone),
        _simulated("refresh", call="guests", step="discover", end_table="guest", changes_host=False, may_fail=True),
        _simulated("add_host", call="guests", step="discover", request_table="vm_host", end_table="guest",
                   changes_host=False, may_fail=True),
        _simulated("remove_host", changes_host=False),
        _simulated("remove_host_and_machines", call="remove guest", acted=_is_gone),
    )
}  # fmt: skip

LAB: Mapping[str, LabObservation] = {
    one.scenario.name: one
    for one in (
        _lab("compose", acted=_exists, halfway=_has_begun, first_call=False),
        _lab("power_on", acted=_power_is("on")),
        _lab("release_ready", acted=_power_is("off")),
        _lab("adopt", acted=_marker_is(marked=True)),
        LabObservation(scenario=Forget(adopted=True), acted=_marker_is(marked=False)),
        LabObservation(
            scenario=LabDeploy(),
            host_call="deploy",
            first_call=False,
            acted=root_disk_has_image,
            halfway=has_image_copy,
            platforms=("LXD", "Incus"),
        ),
        _lab("delete", acted=_guest_gone),
        _lab("refresh", step="discover", may_fail=True),
        _lab("add_host", step="discover", may_fail=True),
        _lab("remove_host_and_machines", acted=_is_gone),
        _lab("rotate_credentials", step="trust_new", acted=_trusts_new_certificate, platforms=("LXD", "Incus")),
    )
}
