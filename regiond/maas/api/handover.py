"""`vm-hosts/{id}/?op=take_over` and `give_back`: who is in charge of a host, MAAS or Innkeeper."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import CHANGE_DOC, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.shared.lookups import find_host
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.maas.api.imports import CHOICES, choices_of
from regiond.maas.api.parallel_json import GIVEN_BACK_JSON
from regiond.maas.parallel.model import GivenBack
from regiond.maas.services import MaasServices
from regiond.operations.model import Operation
from regiond.requests.caller import Permission


async def _take_over(call: Call) -> Reply:
    operation = await call.services.of(MaasServices).maas_handover.start_take_over(
        call.caller, call.target.id, force=call.values["force"], choices=choices_of(call.values["choice"]),
        idempotency_key=call.idempotency_key,
    )  # fmt: skip

    async def encode(done: Operation) -> Reply:
        return json_reply(OPERATION_JSON.encode(done))

    return await when_done(call, operation, encode)


async def _give_back(call: Call) -> GivenBack:
    return await call.services.of(MaasServices).maas_handover.give_back(call.caller, call.target.id)


async def _give_back_plan(call: Call) -> Reply:
    plan = await call.services.of(MaasServices).maas_handover.give_back(call.caller, call.target.id, dry_run=True)
    return json_reply(GIVEN_BACK_JSON.encode(plan))


_GIVEN_BACK = Result(
    doc="The host, the hostnames of its machines, and the operations that forget them.", type=GIVEN_BACK_JSON
)
TAKE_OVER = Endpoint(
    method="POST",
    op="take_over",
    permission=Permission.ADMIN,
    title="Take a VM host over from MAAS",
    doc="Of a MAAS that is watched: adopts the machines that it has on this host, while they run, and ends the "
    "maintenance of the host. Refused while MAAS is at work on one of them, if MAAS was not read within 30 minutes, "
    "or if what MAAS says differs from what the host reports. Choices of the import count again.",
    fields=(
        Field("force", Boolean(), "Take it over although something differs (default false).", default=False),
        CHOICES,
    ),
    opens_operation=True,
    other_answers=(STARTED,),
    result=Result(doc="The operation.", type=OPERATION_JSON),
    find=find_host,
    run=_take_over,
)
GIVE_BACK = with_dry_run(
    crud.action(
        "give_back",
        _GIVEN_BACK,
        _give_back,
        title="Give a VM host back to MAAS",
        doc="The way back from take_over, until the first change: forgets the machines of the host, whose virtual "
        "machines stay as they are, and begins its maintenance again. Refused with the machines on which an operation "
        "has acted since, or that did not come from MAAS.",
        find=find_host,
    ),
    _give_back_plan,
    result=Result(doc="For a dry run: what would be forgotten.", type=GIVEN_BACK_JSON),
    doc=CHANGE_DOC,
)
