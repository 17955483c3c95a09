"""Compares an inventory of MAAS with the region: what each object becomes, and what prevents it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from common.errors import InvalidRequest
from common.maas.inventory import Inventory, LeftOut, Machine
from common.maas.pinning import pins_in_words
from regiond.maas.imports.model import ADOPT, KINDS, LEAVE_OUT, RENAME, Choices, ItemState, Plan, PlanItem, chosen
from regiond.maas.imports.plan_clusters import cluster_items
from regiond.maas.imports.plan_groups import group_items, network_items, problem_of, user_items
from regiond.maas.imports.plan_hosts import host_items, known_hosts
from regiond.maas.imports.region_state import KnownGuest, KnownHost, KnownMachine, RegionState
from regiond.maas.imports.statuses import becomes
from regiond.requests.identifiers import check_hostname


def make_plan(
    import_id: int, inventory: Inventory, state: RegionState, choices: Choices, *, simulated_allowed: bool = False
) -> Plan:
    """Returns the plan with these choices. Raises InvalidRequest for a choice that an item does not have."""
    items = [*group_items(inventory, state, choices)]
    items += (chosen(one, choices.get(one.key, "")) for one in network_items(inventory, state))
    items += user_items(inventory, state, choices)
    hosts = tuple(host_items(inventory, state, choices, simulated_allowed=simulated_allowed))
    by_id = {one.source_id: one for one in hosts}
    items += hosts
    users = {one.name: one for one in items if one.kind == "users"}
    here = known_hosts(inventory, state, simulated_allowed=simulated_allowed)
    items += cluster_items(inventory, state, by_id, here, choices)
    items += _machine_items(inventory, state, by_id, here, users, choices)
    items += [_left_out(one) for one in inventory.left_out]
    _check_known(items, choices)
    return Plan(import_id=import_id, origin=inventory.origin, items=tuple(items), choices=choices)


def _check_known(items: list[PlanItem], choices: Choices) -> None:
    unknown = set(choices) - {one.key for one in items}
    if unknown:
        kind, source_id = min(unknown)
        raise InvalidRequest.of({"choices": [f"The import has no {kind} with the id {source_id}."]})


def _machine_items(
    inventory: Inventory,
    state: RegionState,
    hosts: Mapping[str, PlanItem],
    here: Mapping[str, KnownHost],
    users: Mapping[str, PlanItem],
    choices: Choices,
) -> Iterator[PlanItem]:
    names: set[str] = set()
    for machine in inventory.machines:
        item = _machine_item(machine, state, hosts.get(machine.host_id), here.get(machine.host_id), users, names)
        item = chosen(item, choices.get(item.key, ""))
        if item.is_renamed:
            item = item.unless(_name_problem(item.new_name, state, names))
        if not item.stays_behind:
            names.add(item.new_name)
        yield item


def _machine_item(
    machine: Machine,
    state: RegionState,
    host: PlanItem | None,
    known_host: KnownHost | None,
    users: Mapping[str, PlanItem],
    names: set[str],
) -> PlanItem:
    owner = users.get(machine.owner)
    owned = owner is not None and not owner.stays_behind
    result = becomes(machine.status, owned=owned)
    base = PlanItem(
        kind="machines", source_id=machine.system_id, name=machine.hostname, state=ItemState.LEFT_OUT,
        reason=_left_out_because(host, known_host, state) or result.reason,
    )  # fmt: skip
    if host is None or base.reason or result.state is None:
        return base
    base = evolve(
        base, becomes=f"{result.state.value} machine of {host.new_name}, VM {machine.instance}",
        notes=(*_notes(machine, result.note, owner, owned=owned), *_pins(machine, known_host, state)),
    )  # fmt: skip
    known = state.machines.get(machine.system_id)
    if known is not None and known.is_guest(machine.instance):
        return evolve(base, state=ItemState.EXISTS)
    conflict, choices = _conflict(machine, state, known, names)
    if conflict:
        return evolve(base, state=ItemState.CONFLICT, reason=conflict, choices=choices)
    return evolve(base, state=ItemState.NEW, choices=(ADOPT, LEAVE_OUT), choice=ADOPT)


def _left_out_because(host: PlanItem | None, known: KnownHost | None, state: RegionState) -> str:
    if host is None:
        return "Its VM host is not in the source."
    if host.stays_behind:
        return f"Its VM host {host.name} is not imported."
    where = "" if known is None else state.watched_elsewhere.get(known.id, "")
    if where:
        return f"The MAAS at {where}, which another import watches, is in charge of {host.name}: vm-host take-over."
    return "" if state.is_in_charge(host.source_id) else f"MAAS is in charge of {host.name} until you take it over."


def kept_choices(plan: Plan, choices: Choices) -> Choices:
    """Returns those of earlier choices that the objects of a plan without choices still have."""
    kept = {}
    for item in plan.items:
        choice = choices.get(item.key, "")
        try:
            if choice and chosen(item, choice) is not item:
                kept[item.key] = choice
        except InvalidRequest:  # it is no conflict any more
            continue
    return kept


def _conflict(
    machine: Machine, state: RegionState, known: KnownMachine | None, names: set[str]
) -> tuple[str, tuple[str, ...]]:
    """Returns the reason and the choices; `known` is the machine here that has its id."""
    if known is not None:
        return f"The machine {known.hostname} on {known.host or 'no host'} has this id here.", (LEAVE_OUT,)
    problem = _name_problem(machine.hostname, state, names)
    return problem, (RENAME, LEAVE_OUT) if problem else ()


def _name_problem(name: str, state: RegionState, names: set[str]) -> str:
    """`names` are those that machines of the plan have already."""
    if name in state.hostnames or name in names:
        return f"Another machine or device is named {name}."
    return problem_of(check_hostname, name)


def _notes(machine: Machine, note: str, owner: PlanItem | None, *, owned: bool) -> Iterator[str]:
    if note:
        yield note
    if machine.owner and not owned:
        yield f"Its owner {machine.owner} is not imported{'' if owner else ' (not in the source)'}: it has none."
    if machine.dynamic:
        yield "An allocation composed it: its release destroys it, as in MAAS."


def _pins(machine: Machine, host: KnownHost | None, state: RegionState) -> Iterator[str]:
    """Says what MAAS knows of its cores and its memory, and what its host reports if that is something else."""
    guest: KnownGuest | None = None
    node_of: Mapping[int, int] = {}
    if host is not None:
        keys = ((host.id, machine.instance), (host.id, machine.instance.lower()))
        guest = next((state.guests[one] for one in keys if one in state.guests), None)
        node_of = state.nodes_of_cores.get(host.id, {})
    if machine.pinned_cores is not None:
        there = pins_in_words(machine.pinned_cores, node_of)
        if guest is not None and guest.pinned_cores != frozenset(machine.pinned_cores):
            yield f"Pinned cores: in MAAS {there}, on its host {pins_in_words(guest.pinned_cores, node_of)}."
        elif machine.pinned_cores:
            yield f"Pinned cores: {there}."
    if machine.huge_pages is not None and guest is not None and guest.huge_pages != machine.huge_pages:
        yield f"Its memory is in huge pages {'in MAAS' if machine.huge_pages else 'on its host'} only."
    elif machine.huge_pages:
        yield "Its memory is in huge pages."


def _left_out(one: LeftOut) -> PlanItem:
    kind = one.kind if one.kind in KINDS else "machines"
    source_id = one.id or one.name  # a VM that no machine of MAAS stands for has no id there
    return PlanItem(kind=kind, source_id=source_id, name=one.name, state=ItemState.LEFT_OUT, reason=one.reason)
