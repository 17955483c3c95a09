"""`machines/{system_id}/?op=register_in_maas` and `unregister_from_maas`."""

from __future__ import annotations

from regiond.api.declaration.dry_run import CHANGE_DOC, PLAN, plan_reply, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.serializer import Serializer, fields_of, serializer
from regiond.api.declaration.served import filled
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import MACHINE_RESULT, machine_now
from regiond.api.resources.shared.lookups import find_machine
from regiond.maas.bridge.model import RegisterRequest, RegistrationPlan
from regiond.maas.services import MaasServices
from regiond.requests.caller import Permission

REGISTRATION_PLAN_JSON: Serializer[RegistrationPlan] = serializer(
    "RegistrationPlan", *fields_of(RegistrationPlan, "name effects")
)
_PLAN = Result(doc="For a dry run: what would change.", type=REGISTRATION_PLAN_JSON)
_request = filled(RegisterRequest)


async def _register(call: Call) -> Reply:
    operation = await call.services.of(MaasServices).maas_registrations.start(
        call.caller, call.target.system_id, _request(call), idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )  # fmt: skip
    return await when_done(call, operation, machine_now(call))


async def _register_plan(call: Call) -> Reply:
    plan = await call.services.of(MaasServices).maas_registrations.plan(
        call.caller, call.target.system_id, _request(call)
    )
    return json_reply(REGISTRATION_PLAN_JSON.encode(plan))


async def _end(call: Call) -> Reply:
    operation = await call.services.of(MaasServices).maas_registrations.start_end(
        call.caller, call.target.system_id, keep_record=call.values["keep_record"],
        idempotency_key=call.idempotency_key,
    )  # fmt: skip
    return await when_done(call, operation, machine_now(call))


async def _end_plan(call: Call) -> Reply:
    plan = await call.services.of(MaasServices).maas_registrations.end_plan(
        call.caller, call.target.system_id, keep_record=call.values["keep_record"]
    )
    return plan_reply(plan)


REGISTER = with_dry_run(
    Endpoint(
        method="POST",
        op="register_in_maas",
        permission=Permission.OWNER,
        title="Register a machine in a MAAS server",
        doc=(
            "The machine boots from the network first from then on, and the MAAS gets a machine with its MAC addresses "
            "that it can switch on and off, so that it commissions and deploys it. One that runs is refused unless "
            "commission is false or deployed true, and one with Secure Boot."
        ),
        fields=(
            Field(
                "server", Text(max_length=64), "Name of the MAAS server.", required=True, recorded=True, example="metal"
            ),
            Field(
                "commission",
                Boolean(),
                "MAAS starts the machine at once to commission it (default true).",
                default=True,
            ),
            Field(
                "deployed",
                Boolean(),
                "MAAS takes the machine as deployed, as it runs, and does not start it (default false).",
                default=False,
            ),
        ),
        opens_operation=True,
        other_answers=(STARTED,),
        result=MACHINE_RESULT,
        find=find_machine,
        run=_register,
    ),
    _register_plan,
    result=_PLAN,
    doc=CHANGE_DOC,
)
UNREGISTER = with_dry_run(
    Endpoint(
        method="POST",
        op="unregister_from_maas",
        permission=Permission.OWNER,
        title="End the registration of a machine in a MAAS server",
        doc=(
            "Its record in the MAAS is deleted; the machine goes on running, and boots from its next start on as "
            "before it was registered, unless something else was chosen meanwhile."
        ),
        fields=(
            Field(
                "keep_record",
                Boolean(),
                "Leave the record in the MAAS, which can no longer switch the machine (default false).",
                default=False,
            ),
        ),
        opens_operation=True,
        other_answers=(STARTED,),
        result=MACHINE_RESULT,
        destructive=True,
        find=find_machine,
        run=_end,
    ),
    _end_plan,
    result=PLAN,
)
