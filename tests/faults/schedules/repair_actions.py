"""Rules for the reconciler: sweeps that repair, and approvals of discrepancies from a possibly outdated list."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from regiond.reconciler.model import OpenDiscrepancy, RepairPolicy
from regiond.reconciler.service import Reconciler
from tests.faults.schedules.admin_actions import AdminActions
from tests.faults.schedules.controlled_region import ADMIN
from tests.faults.schedules.failures import Failures
from tests.faults.schedules.state_machine import WHICH
from tests.faults.schedules.user_actions import THEN


class RepairActions(AdminActions, Failures):
    """`listed` are the discrepancies that an administrator saw last."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[OpenDiscrepancy] = []

    @rule(host=WHICH, sweeps=st.integers(1, 2), then=THEN)
    def reconciler_sweeps(self, host: int, sweeps: int, then: str) -> None:
        """After a refresh. A second sweep repairs what the first one found."""
        if self.hosts:
            self.periodic_refresh(host=host, runs=True)
        self.request(self._sweep(sweeps), then=then)

    async def _sweep(self, times: int) -> None:
        reconciler = Reconciler(self.region.database, every_s=0.0)
        for _ in range(times):
            await reconciler.sweep()

    @rule()
    def list_discrepancies(self) -> None:
        self.go(self._list())

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, which=WHICH, done=st.sampled_from(("nothing", "removed", "copied")), then=THEN)
    def change_list_and_approve(self, host: int, which: int, done: str, then: str) -> None:
        """Approves an existing discrepancy, or one that an administrator has just caused."""
        if done == "removed":
            self.guest_is_removed(host=host, which=which, with_volumes=False)
        elif done == "copied":
            self.guest_is_copied_with_its_marker(host=host + 1, which=which, to=host)
        self.periodic_refresh(host=host, runs=True)
        self.list_discrepancies()
        if self.listed:
            self.approve(which=which, then=then)

    async def _list(self) -> None:
        found = await self.services.reconciler.check()
        self.listed = [one for one in found if one.discrepancy.repair_policy is not RepairPolicy.NONE]

    @precondition(lambda self: self.listed)
    @rule(which=WHICH, then=THEN)
    def approve(self, which: int, then: str) -> None:
        listed = self.listed[which % len(self.listed)]
        self.request(self.services.reconciler.approve(ADMIN, listed.id, etag=listed.discrepancy.etag), then=then)
