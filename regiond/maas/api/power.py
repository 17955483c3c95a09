"""`/MAAS/webhook/…`: where a MAAS asks for the power of a machine that is registered in it, and changes it."""

from __future__ import annotations

import re

from common.values import PowerAction
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.serializer import STR, Serializer, key, serializer
from regiond.api.replies import Reply, json_reply, text_reply
from regiond.maas.bridge.model import PowerAnswer, PowerResult
from regiond.maas.services import MaasServices
from regiond.requests.caller import Permission

_BEARER = re.compile(r"\s*bearer\s+([\w-]{1,256})\s*", re.IGNORECASE | re.ASCII)
_ACTIONS = {"on": PowerAction.ON, "off": PowerAction.OFF}
_NOT_HERE = 410  # a 404 counts as an answer there: MAAS would go on as if it had been done
_STATUS = {PowerResult.DONE: 200, PowerResult.GONE: _NOT_HERE, PowerResult.REFUSED: 409}
# One line with one word: MAAS searches it for a pattern of each state.
POWER_JSON: Serializer[PowerAnswer] = serializer("MaasPower", key("status", STR, lambda answer: answer.status))


async def _query(call: Call) -> Reply:
    answer = await call.services.of(MaasServices).maas_power.query(
        call.path["id"], _token(call), address=call.client_address, request_id=call.request_id
    )
    return _reply(answer)


async def _switch(call: Call) -> Reply:
    action = _ACTIONS.get(call.path["action"])
    if action is None:
        return text_reply("A machine can be powered on and off here.", status=_NOT_HERE)
    answer = await call.services.of(MaasServices).maas_power.switch(
        call.path["id"], _token(call), action, address=call.client_address, request_id=call.request_id
    )
    return _reply(answer)


def _token(call: Call) -> str:
    found = _BEARER.fullmatch(call.authorization)
    return "" if found is None else found[1]


def _reply(answer: PowerAnswer) -> Reply:
    if answer.reason:
        return text_reply(answer.reason, status=_STATUS[answer.result])
    return json_reply(POWER_JSON.encode(answer), status=_STATUS[answer.result])


_GONE: tuple[tuple[int, Result[None]], ...] = (
    (401, Result(doc="It is not the secret of the machine (text/plain).")),
    (410, Result(doc="The machine is gone (text/plain).")),
)
_REFUSED: tuple[tuple[int, Result[None]], ...] = ((409, Result(doc="The reason why it is refused (text/plain).")),)
# The answers of a path with GET and POST would have entity tags, and a query is no object that anybody changes.
QUERY = Resource(
    handler="MaasPowerQueryHandler",
    base="/MAAS/",
    path="webhook/{id}/query",
    doc="The power of a machine that is registered in a MAAS, for that MAAS.",
    described=False,
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.ANYONE,
            title="Ask for the power of a registered machine",
            doc=(
                "For MAAS, with the secret of the machine as Authorization: Bearer. The answer is what the region has "
                "recorded; 410 for a machine that is gone."
            ),
            result=Result(doc="The status: running, stopped or unknown.", type=POWER_JSON),
            other_answers=_GONE,
            run=_query,
        ),
    ),
)
SWITCH = Resource(
    handler="MaasPowerHandler",
    base="/MAAS/",
    path="webhook/{id}/{action}",
    doc="The address at which a MAAS switches a machine that is registered in it.",
    described=False,
    endpoints=(
        Endpoint(
            method="POST",
            permission=Permission.ANYONE,
            title="Power a registered machine on or off",
            doc=(
                "For MAAS, as the question for the power. Answers at once; while an operation does it, another request "
                "begins nothing more. 409 with the reason while the machine cannot be switched, 410 for one that is "
                "gone."
            ),
            result=Result(doc="The status before.", type=POWER_JSON),
            other_answers=(*_GONE, *_REFUSED),
            audited=False,  # recorded as of the MAAS server, by the service
            run=_switch,
        ),
    ),
)
RESOURCES = (QUERY, SWITCH)
WITH_SLASH = (
    QUERY.also(handler="MaasPowerQueryWithSlashHandler", path="webhook/{id}/query/", described=False),
    SWITCH.also(handler="MaasPowerWithSlashHandler", path="webhook/{id}/{action}/", described=False),
)
