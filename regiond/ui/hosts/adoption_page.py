"""Adopts guests that Innkeeper did not create, and forgets adopted ones again, after a question."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import InvalidRequest, WrongState
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.machines.machines import MACHINE
from regiond.api.resources.shared.lookups import find_host
from regiond.hosts.model import GuestView, HostView
from regiond.requests.caller import Permission
from regiond.requests.identifiers import as_id
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.question import Question, Subject, ask
from regiond.ui.rendering.page import Visit, form_pages, redirect_with_note
from regiond.ui.texts import constant, counted, text
from regiond.ui.views import formats
from regiond.ui.web_request import page_url

_OWNER_HELP = constant("Nobody else is given it. The owner can release it, which shuts it down")
_POWER = {"on": constant("running"), "off": constant("off")}
_HOSTNAME = FormField(
    name="hostname",
    label=constant("Hostname"),
    optional=True,
    help=constant("Without one it is the name that it has on the host"),
)


async def adopt(visit: Visit) -> Reply:
    """Asks for the adoption of one guest, or of all guests of a host that nobody has adopted yet."""
    host = await find_host(visit.services, {"id": visit.path["host"]})
    given, option = visit.request.given, visit.request.option
    if given("all") or option("all"):
        (workload,) = await visit.services.machines.workloads([host.id], caller=visit.caller)
        return await _adopt(visit, host, workload.foreign, is_all=True)
    guest = await visit.services.hosts.guest(as_id(given("guest") or option("guest")) or 0, caller=visit.caller)
    return await _adopt(visit, host, (guest,), is_all=False)


async def _adopt(visit: Visit, host: HostView, guests: Iterable[GuestView], *, is_all: bool) -> Reply:
    found, given = list(guests), visit.request.given
    users = [one.username for one in await visit.services.users.list(caller=visit.caller) if one.is_active]
    question = adoption_question(host, found, users, visit.caller.username, is_all=is_all)
    shown = {one.name for one in question.fields}

    async def run() -> Reply:
        if is_all and not {str(one.id) for one in found} <= set(visit.request.form.get("guest", ())):
            raise WrongState(f"Since the question was shown, more VMs can be adopted on {host.name}. Read it again.")
        fields = {"all": "true"} if is_all else {"guests": str(found[0].id), "hostname": given("hostname").strip()}
        try:
            outcomes = await visit.act(
                HOST, "POST", "adopt", path={"id": str(host.id)},
                fields={**{name: value for name, value in fields.items() if value}, "owner": given("owner")},
            )  # fmt: skip
        except InvalidRequest as error:
            raise InvalidRequest.of(
                {name if name in shown else "__all__": list(texts) for name, texts in error.fields.items()}
                or {"__all__": [error.message]}
            ) from error
        if isinstance(outcomes, dict):  # the operation of a single guest
            return redirect_with_note(visit, "hosts", host.id, "vms", answer=outcomes)
        if any(one.get("rejected") for one in outcomes):
            title = text("Adopted on {name}", name=host.name)
            return await visit.page("hosts/adopted.html", title=title, section="hosts", host=host, outcomes=outcomes)
        tasks = (text("Tasks"), page_url("hosts", host.id, "tasks"))
        begun = counted("Adoption of {n} VM has begun.", "Adoption of {n} VMs has begun.", len(outcomes))
        return redirect_with_note(visit, "hosts", host.id, "vms", text=begun, link=tasks)

    return await ask(visit, question, run)


def adoption_question(
    host: HostView, guests: list[GuestView], users: Iterable[str], owner: str, *, is_all: bool
) -> Question:
    """`owner` is who is proposed. Without guests there is no button."""
    number, name = len(guests), "" if is_all else guests[0].name
    owners = FormField(
        name="owner", label=text("Owner"), kind="choice", options=tuple((one, one) for one in users), help=_OWNER_HELP
    )
    becomes = (
        text(
            "Each becomes a VM of Innkeeper as found: it gets the mark of ownership, nothing else changes and "
            "nothing restarts."
        )
        if is_all
        else text(
            "{name} becomes a VM of Innkeeper as found: it gets the mark of ownership, nothing else changes and "
            "nothing restarts.",
            name=name,
        )
    )
    return Question(
        title=counted("Adopt all {n} VM on {name}?", "Adopt all {n} VMs on {name}?", number, name=host.name)
        if is_all
        else text("Adopt {name}?", name=name),
        section="hosts",
        crumbs=_crumbs(host),
        button=(counted("Adopt {n} VM", "Adopt {n} VMs", number) if is_all else text("Adopt")) if guests else "",
        back=page_url("hosts", host.id, "vms"),
        undo=text("It can be forgotten again, which leaves it as it is.") if guests else "",
        subjects=[Subject(name=one.name, detail=_detail(one)) for one in guests],
        effects=(becomes if guests else text("There is nothing to adopt."),),
        kept=[*([("all", "1")] if is_all else []), *(("guest", str(one.id)) for one in guests)],
        fields=() if not guests else (owners,) if is_all else (_HOSTNAME, owners),
        values={"owner": owner},
    )


def _detail(guest: GuestView) -> str:
    pinned = [text("pinned to {cores}", cores=formats.ranges(guest.pinned_core_ids))] if guest.pinned_core_ids else []
    memory = text("{memory} RAM", memory=formats.memory(guest.memory_mib))
    project = [text("project {project}", project=guest.project)] if guest.project else []
    power = text(_POWER.get(guest.power_state, guest.power_state))
    return ", ".join([counted("{n} core", "{n} cores", guest.cores), *pinned, memory, *project, power])


def _crumbs(host: HostView) -> tuple[tuple[str, str], ...]:
    return ((text("Hosts"), page_url("hosts")), (host.name, page_url("hosts", host.id, "vms")))


async def forget(visit: Visit) -> Reply:
    host = await find_host(visit.services, {"id": visit.path["host"]})
    system_id = visit.request.given("vm") or visit.request.option("vm")
    machine = await visit.services.machines.read(system_id, caller=visit.caller)
    path = {"system_id": machine.system_id}
    plan = await visit.act(MACHINE, "POST", "forget", path=path, fields={"dry_run": "true"})

    async def run() -> Reply:
        operation = await visit.act(MACHINE, "POST", "forget", path=path)
        return redirect_with_note(visit, "hosts", host.id, "vms", answer=operation)

    question = Question(
        title=text("Forget {hostname}?", hostname=machine.hostname),
        section="hosts",
        crumbs=_crumbs(host),
        button=text("Forget {hostname}", hostname=machine.hostname),
        back=page_url("hosts", host.id, "vms"),
        undo=text("It can be adopted again."),
        effects=(text("Innkeeper stops managing it. The VM stays on {name} unchanged and running.", name=host.name),),
        is_dangerous=True,
        kept=(("vm", machine.system_id),),
    )
    return await ask(visit, question, run, plan=plan, plan_of="guests")


PAGES = (
    *form_pages("hosts/<host>/adopt", adopt, permission=Permission.ADMIN),
    *form_pages("hosts/<host>/forget", forget, permission=Permission.ADMIN),
)
