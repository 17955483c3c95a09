"""Answers of the services of MAAS servers and of the machines registered in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import NotFound
from common.maas.inventory import Origin, SourceKind
from common.values import PowerState
from regiond.maas.bridge.model import MaasServer, PowerAnswer, PowerResult, RegistrationPlan
from regiond.maas.imports.model import Failure, ItemState, MaasImport, Plan, PlanItem
from regiond.maas.parallel.model import Difference, DifferenceKind, GivenBack, ParallelRun, WatchedHost
from tests.unit.answers.shared import DELETION_PLAN, named
from tests.unit.support.api_samples import AT
from tests.unit.support.machine_samples import OPERATION

SERVER = MaasServer(
    id=1, name="metal", url="http://maas.example.com:5240/MAAS", ca="", fingerprint="", power_url="",
    verify_power_tls=True, version="4.0.0", username="admin", checked_at=AT, problem="", machines=1,
)  # fmt: skip
PLAN = RegistrationPlan(name="web-1", effects=("web-1 boots from the network first, from its next start on.",))
ON = PowerAnswer(result=PowerResult.DONE, power=PowerState.ON)

IMPORT = MaasImport(
    id=4, origin=Origin(kind=SourceKind.DUMP, label="maas.sql", version="3.7", name="metal"), created_at=AT,
    read_at=AT, watched=True,
    counts={"hosts": 1, "machines": 2, "users": 1}, username="admin",
    failures=(Failure(kind="machines", source_id="abc123", name="lost", reason="kvm-1 has no VM lost."),),
    failed=1,
)  # fmt: skip
IMPORT_PLAN = Plan(
    import_id=4,
    origin=IMPORT.origin,
    items=(
        PlanItem(kind="hosts", source_id="7", name="kvm-1", state=ItemState.NEW, becomes="LXD host at 10.0.0.7"),
        PlanItem(
            kind="users", source_id="1", name="admin", state=ItemState.CONFLICT, becomes="administrator admin",
            reason="There is a user admin here.", choices=("same", "rename=", "leave_out"),
        ),
        PlanItem(kind="machines", source_id="abc124", name="web", state=ItemState.LEFT_OUT, reason="MAAS deploys it."),
    ),
)  # fmt: skip

RUN = ParallelRun(
    maas_import=IMPORT,
    hosts=(WatchedHost(host_id=4, host_name="hv-01", import_id=4, source_id="7", in_maas=True, machines_in_maas=2),),
    differences=(
        Difference(
            host_id=4, host_name="hv-01", vm="web", kind=DifferenceKind.CORES, in_maas="2", here="4", since=AT
        ),
    ),
)  # fmt: skip
ANSWERS: Mapping[str, Any] = {
    "maas_imports.list": (IMPORT,),
    "maas_imports.read": lambda _, import_id: IMPORT if import_id == IMPORT.id else NotFound("Not Found"),
    "maas_imports.add_packed": IMPORT,
    "maas_imports.add_from": IMPORT,
    "maas_imports.plan": IMPORT_PLAN,
    "maas_imports.start": OPERATION,
    "maas_imports.start_with_digest": OPERATION,
    "maas_comparisons.last": RUN,
    "maas_comparisons.compare_now": RUN,
    "maas_handover.start_take_over": OPERATION,
    "maas_handover.give_back": GivenBack(host_id=4, host_name="hv-01", machines=("quick-fox",), operations=(12,)),
    "maas_imports.delete": DELETION_PLAN,
    "maas_servers.list": (SERVER,),
    "maas_servers.read": named({"metal": SERVER}),
    "maas_servers.create": SERVER,
    "maas_servers.update": SERVER,
    "maas_servers.check": SERVER,
    "maas_servers.delete": DELETION_PLAN,
    "maas_registrations.start": OPERATION,
    "maas_registrations.plan": PLAN,
    "maas_registrations.start_end": OPERATION,
    "maas_registrations.end_plan": DELETION_PLAN,
    "maas_power.query": ON,
    "maas_power.switch": ON,
}
