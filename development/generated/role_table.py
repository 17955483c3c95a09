"""Prints whose a machine is and which role may call which endpoint; `--write` updates the page.

python -m development.generated.role_table [--write]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from development.generated.generated_section import CHECKOUT, GeneratedSection
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.resources.registry import SERVED
from regiond.clients.rpc import PERMISSIONS
from regiond.groups.model import ResourcePool, Zone
from regiond.machines.core.ownership_rules import may_act, may_allocate
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller, Permission, PoolRole
from regiond.ui.words.vm_state_words import VM_STATE_WORDS

ROLES = ("stranger", "viewer", "operator", "administrator")
_POOL_ID, _NAME = 1, "ann"
_VIEWER, _OPERATOR = {_POOL_ID: PoolRole.VIEWER}, {_POOL_ID: PoolRole.OPERATOR}
_CALLERS: Mapping[str, Caller] = {
    "stranger": Caller(account_id=1, username="stranger", is_admin=False),
    "viewer": Caller(account_id=2, username="viewer", is_admin=False, grants=_VIEWER),
    "operator": Caller(account_id=3, username="operator", is_admin=False, grants=_OPERATOR),
    "whom it belongs to": Caller(account_id=4, username=_NAME, is_admin=False, grants=_OPERATOR),
    "administrator": Caller(account_id=5, username="administrator", is_admin=True),
}
# Whose a machine is: its owner, who made it, and whether it is as it was composed as stock.
_WHOSE = (
    ("nobody's: stock", None, _NAME, True),
    ("whoever made it: in use", None, _NAME, False),
    ("administrators': in use", None, None, False),
    ("its owner", _NAME, None, False),
)
# What stands in the columns of ROLES.
_MAY = {
    Permission.ANYONE: ("yes", "yes", "yes", "yes"),
    Permission.USER: ("", "yes", "yes", "yes"),
    Permission.OPERATOR: ("", "", "yes", "yes"),
    Permission.OWNER: ("", "", "own", "yes"),
    Permission.ADMIN: ("", "", "", "yes"),
}


def ownership_table() -> str:
    """Returns the table of what each role may do with a machine, by its state and whose it is."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for whose, owner, made_by, is_stock in _WHOSE:
        for state in MachineState:
            machine = _machine(state, owner, made_by, is_stock=is_stock)
            cells = (_rights(caller, machine) for caller in _CALLERS.values())
            rows.setdefault((whose, *cells), []).append(VM_STATE_WORDS[state])
    lines = (f"| {whose} | {_named(states)} | {' | '.join(cells)} |" for (whose, *cells), states in rows.items())
    return "\n".join((*_columns("Whose", "State", *_CALLERS), *lines))


def _named(states: Sequence[str]) -> str:
    """Names the states, or those that are left out if these are fewer."""
    others = [VM_STATE_WORDS[one] for one in MachineState if VM_STATE_WORDS[one] not in states]
    if not others:
        return "any"
    return ", ".join(states) if len(states) <= len(others) else f"any but {', '.join(others)}"


def _rights(caller: Caller, machine: MachineView) -> str:
    if may_act(caller, machine):
        return "acts" + (", allocates" if may_allocate(caller, machine) else "")
    if may_allocate(caller, machine):
        return "sees, allocates"
    return "sees" if caller.may_view(machine.pool.id) or machine.belongs_to(caller) else ""


def _machine(state: MachineState, owner: str | None, made_by: str | None, *, is_stock: bool) -> MachineView:
    return MachineView(
        id=1, uuid=UUID(int=1), system_id="m", hostname="m", state=state, power_state="off", architecture="amd64",
        cores=1, memory_mib=1024, tags=(), pool=ResourcePool(id=_POOL_ID, name="", description=""),
        zone=Zone(id=1, name="", description=""),
        owner=owner, description="", host_id=1, host_name="h", host_system_id=None, driver=None, guest_id=1,
        created_at=datetime(2026, 1, 1, tzinfo=UTC), composed_by=made_by, is_stock=is_stock,
    )  # fmt: skip


def tables() -> str:
    """Returns a table of the endpoints of the API and one of the commands of RPC clients."""
    endpoints = (line for resource in SERVED for line in _lines(resource))
    commands = (_row((f"`{name}`",), permission) for name, permission in sorted(PERMISSIONS.items()))
    return "\n".join([*_head("Request", "Title"), *endpoints, "", *_head("RPC command"), *commands])


def _head(*columns: str) -> tuple[str, str]:
    return _columns(*columns, *ROLES)


def _columns(*names: str) -> tuple[str, str]:
    return f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"


def _lines(resource: Resource) -> Iterator[str]:
    if resource.described or resource.base != "/MAAS/api/2.0/":
        yield from (_row((_request(resource, one), one.title), one.permission) for one in resource.endpoints)


def _request(resource: Resource, endpoint: Endpoint) -> str:
    op = "" if endpoint.op is None else f"?op={endpoint.op}"
    return f"`{endpoint.method} {resource.path}{op}`"


def _row(columns: tuple[str, ...], permission: Permission) -> str:
    return f"| {' | '.join((*columns, *_MAY[permission]))} |"


_PAGE = CHECKOUT / "docs/reference/roles.md"
OWNERSHIP = GeneratedSection(
    page=_PAGE,
    title="ownership table",
    module="development.generated.role_table",
    generate=lambda: f"\n{ownership_table()}\n",
)
SECTION = GeneratedSection(
    page=_PAGE,
    title="role table",
    module="development.generated.role_table",
    generate=lambda: f"\n{tables()}\n",
)

if __name__ == "__main__":
    OWNERSHIP.run(__doc__)
    SECTION.run(__doc__)
