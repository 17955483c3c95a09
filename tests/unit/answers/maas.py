"""Answers of the services of MAAS servers and of the machines registered in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.values import PowerState
from regiond.maas.model import MaasServer, PowerAnswer, PowerResult, RegistrationPlan
from tests.unit.answers.shared import DELETION_PLAN, named
from tests.unit.api_samples import AT
from tests.unit.machine_samples import OPERATION

SERVER = MaasServer(
    id=1, name="metal", url="http://maas.example.com:5240/MAAS", ca="", fingerprint="", power_url="",
    verify_power_tls=True, version="4.0.0", username="admin", checked_at=AT, problem="", machines=1,
)  # fmt: skip
PLAN = RegistrationPlan(name="web-1", effects=("web-1 boots from the network first, from its next start on.",))
ON = PowerAnswer(result=PowerResult.DONE, power=PowerState.ON)

ANSWERS: Mapping[str, Any] = {
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
