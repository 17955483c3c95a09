"""Registers a VM in a MAAS server, or ends that."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.maas.services import MaasServices
from regiond.machines.values.model import MachineView
from regiond.ui.forms.form_field import FormField
from regiond.ui.machines.details.frame import CONFIGURATION, change_obstacle
from regiond.ui.machines.details.vm_form import Sent, VmForm, vm_form
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant, text

SERVER, HOW = "server", "how"
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "commission": {},
    "wait": {"commission": "false"},
    "deployed": {"deployed": "true"},
}
_HOW = FormField(
    name=HOW,
    label=constant("What MAAS does with a VM that is registered now"),
    kind="choice",
    options=(
        ("commission", constant("Start it at once to commission it")),
        ("wait", constant("Nothing, until somebody asks there")),
        ("deployed", constant("Take it as deployed, as it runs")),
    ),
)


async def maas(visit: Visit, machine: MachineView) -> VmForm:
    def sent(changes: Mapping[str, str]) -> Sent | None:
        if SERVER not in changes:
            return None
        if server := changes[SERVER]:
            fields = {SERVER: server, **_FIELDS.get(visit.request.given(HOW), {})}
            done = text("{hostname} is registered in {server}.", hostname=machine.hostname, server=server)
            return Sent(op="register_in_maas", fields=fields, done=done)
        done = text("{hostname} is no longer registered in MAAS.", hostname=machine.hostname)
        return Sent(op="unregister_from_maas", done=done)

    return VmForm(
        title=text("MAAS of {hostname}", hostname=machine.hostname),
        crumb=text("MAAS"),
        tab=CONFIGURATION,
        obstacle=change_obstacle(visit.caller, machine),
        fields=[await _choice(visit, machine), *([] if machine.maas_server else [_HOW])],
        values={SERVER: machine.maas_server or "", HOW: "commission"},
        notes=[
            text(
                "A VM that is registered boots from the network first, and that MAAS switches it on and off. When its "
                "registration ends, its record there is deleted; the VM goes on running, and boots from its next "
                "start on as before."
            )
        ],
        sent=sent,
    )


async def _choice(visit: Visit, machine: MachineView) -> FormField:
    """Returns the choice of a server; one in which it is registered can only be left."""
    present = machine.maas_server
    servers = [present] if present else [one.name for one in await visit.services.of(MaasServices).maas_servers.list()]
    return FormField(
        name=SERVER,
        label=text("MAAS server"),
        kind="choice",
        options=tuple((one, one) for one in servers),
        none_label=text("None"),
    )


PAGES = vm_form("maas", maas)
