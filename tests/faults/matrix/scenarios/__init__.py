"""All scenarios, by name and in the order of the table."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.matrix.scenario import Scenario
from tests.faults.matrix.scenarios.adopting import Adopt, Forget
from tests.faults.matrix.scenarios.approved import RemoveVolume, UnmarkCopy
from tests.faults.matrix.scenarios.cancelling import Cancel
from tests.faults.matrix.scenarios.hosts import AddHost, Refresh, RemoveHost
from tests.faults.matrix.scenarios.leftovers import CleanUp
from tests.faults.matrix.scenarios.lxd import AddLxd, Rotate, Trust
from tests.faults.matrix.scenarios.machines import Compose, ComposeRefused, Delete
from tests.faults.matrix.scenarios.moving import ComposeMoved
from tests.faults.matrix.scenarios.owning import AllocateComposed, AllocateReady, Release
from tests.faults.matrix.scenarios.power import Power
from tests.faults.matrix.scenarios.racks import JoinRack

_ALL: tuple[Scenario, ...] = (
    Compose(),
    ComposeRefused(),
    ComposeMoved(),
    Power("on"),
    Power("off"),
    Power("cycle"),
    AllocateReady(),
    AllocateComposed(),
    Release(composed=False),
    Release(composed=True),
    Adopt(),
    Forget(),
    Delete(),
    CleanUp(),
    RemoveVolume(),
    UnmarkCopy(),
    Cancel(),
    AddHost(),
    AddLxd(),
    Trust(),
    Refresh(),
    Rotate(),
    RemoveHost(decompose=False),
    RemoveHost(decompose=True),
    JoinRack(),
)

SCENARIOS: Mapping[str, Scenario] = {one.name: one for one in _ALL}
