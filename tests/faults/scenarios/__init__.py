"""What the crash matrix tries: one scenario for each request that changes hosts, machines or racks.

The in-process matrix (`tests/faults/matrix`) tries each scenario at every point, the sample on real processes
(`tests/faults/real`) some of them at a few moments. A scenario says what to prepare, the request and what must hold;
the runner kills and observes.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.scenarios.adoption import Adopt, Forget
from tests.faults.scenarios.affinity import ComposeApart
from tests.faults.scenarios.cancellation import Cancel
from tests.faults.scenarios.cancelled_removal import CancelRemoval
from tests.faults.scenarios.cleanup import CleanUp
from tests.faults.scenarios.clones import Clone, CloneMany
from tests.faults.scenarios.deployment import Deploy, Rebuild, ReleaseDeployed, RemoveHostWithImage
from tests.faults.scenarios.disks import AddDisk, AddDiskMany, AttachDisk, GrowDisk, MoveDisk, RemoveDisk
from tests.faults.scenarios.hosts.address_change import ChangeAddress
from tests.faults.scenarios.hosts.approvals import DeleteRestored, RemoveVolume, UnmarkCopy
from tests.faults.scenarios.hosts.dead_hosts import RemoveDeadHost
from tests.faults.scenarios.hosts.hosts import AddHost, Refresh, RemoveHost
from tests.faults.scenarios.hosts.lxd import AddLxdHost, Rotate, TrustHost
from tests.faults.scenarios.hosts.lxd_removal import RemoveLxdHost
from tests.faults.scenarios.hosts.maintenance import MaintenanceDuringCompose
from tests.faults.scenarios.hosts.racks import JoinRack
from tests.faults.scenarios.iso_images import EjectIso, InsertFirstIso, InsertIso
from tests.faults.scenarios.maas.maas import ComposeInMaas, DeleteInMaas, RegisterInMaas, UnregisterFromMaas
from tests.faults.scenarios.maas.maas_import import ImportFromMaas
from tests.faults.scenarios.maas.parallel_run import GiveBack, TakeOver
from tests.faults.scenarios.machines import Compose, ComposeRejected, Delete
from tests.faults.scenarios.nics import AddNic, ChangeNic, RemoveNic
from tests.faults.scenarios.ownership import AllocateComposed, AllocateReady, Release
from tests.faults.scenarios.power import BootOnce, Power, SetBoot, SetBootDisk, SetStartOrder
from tests.faults.scenarios.rescheduling import ComposeRescheduled
from tests.faults.scenarios.resize import Resize, ResizeBound, ResizeMany
from tests.faults.scenarios.scenario import Scenario
from tests.faults.scenarios.transfer import Export, Import

_ALL: tuple[Scenario, ...] = (
    Compose(),
    ComposeRejected(),
    ComposeRescheduled(),
    ComposeApart(),
    Clone(),
    CloneMany(),
    MaintenanceDuringCompose(),
    Power("on"),
    Power("off"),
    Power("cycle"),
    SetBootDisk(),
    SetBoot(running=False),
    SetBoot(running=True),
    BootOnce(),
    SetStartOrder(),
    InsertIso(),
    InsertFirstIso(),
    EjectIso(),
    Resize(running=False),
    Resize(running=True),
    ResizeBound(),
    AddDisk(),
    AttachDisk(),
    GrowDisk(),
    MoveDisk(),
    MoveDisk(is_on=True),
    RemoveDisk(keep=False),
    RemoveDisk(keep=True),
    Export(),
    Import(),
    AddNic(),
    ChangeNic(),
    RemoveNic(),
    RegisterInMaas(),
    UnregisterFromMaas(),
    ComposeInMaas(),
    DeleteInMaas(),
    ImportFromMaas(),
    TakeOver(),
    GiveBack(),
    ResizeMany(),
    AddDiskMany(),
    AllocateReady(),
    AllocateComposed(),
    Release(composed_by_allocation=False),
    Release(composed_by_allocation=True),
    Deploy(),
    Rebuild(),
    ReleaseDeployed(),
    Adopt(),
    Forget(),
    Delete(),
    CleanUp(),
    DeleteRestored(),
    RemoveVolume(),
    UnmarkCopy(),
    Cancel(),
    AddHost(),
    AddLxdHost(),
    TrustHost(),
    Refresh(),
    Rotate(),
    ChangeAddress(),
    RemoveHost(decompose=False),
    RemoveHost(decompose=True),
    RemoveHostWithImage(),
    CancelRemoval(),
    RemoveDeadHost(),
    RemoveLxdHost(),
    JoinRack(),
)

SCENARIOS: Mapping[str, Scenario] = {one.name: one for one in _ALL}
"""By name, in the order of the table."""
