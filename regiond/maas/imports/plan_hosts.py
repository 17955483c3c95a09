"""Plans VM hosts and clusters. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from attrs import evolve

from common.errors import InvalidRequest
from common.maas.inventory import Host, Inventory
from common.values import DriverType
from regiond.hosts.address.host_address import parse_host_address
from regiond.hosts.host_names import check_host_name
from regiond.maas.imports.model import LEAVE_OUT, RENAME, SAME, Choices, ItemState, PlanItem, chosen
from regiond.maas.imports.plan_groups import problem_of
from regiond.maas.imports.region_state import KnownHost, RegionState, host_key

_DRIVERS = {"lxd": DriverType.LXD, "virsh": DriverType.LIBVIRT, "simulated": DriverType.SIMULATED}


def driver_of(host: Host) -> DriverType | None:
    return _DRIVERS.get(host.power_type)


def address_of(host: Host, *, simulated_allowed: bool) -> str:
    """Returns the normalised address. Raises InvalidRequest."""
    driver = driver_of(host)
    if driver is None:
        raise InvalidRequest(f"VM hosts of type {host.power_type!r} are not part of Innkeeper.")
    return parse_host_address(driver, host.power_address, simulated_allowed=simulated_allowed).normalised


def project_of(host: Host) -> str:
    return (host.project or "default") if driver_of(host) is DriverType.LXD else ""


def known_hosts(inventory: Inventory, state: RegionState, *, simulated_allowed: bool) -> dict[str, KnownHost]:
    """Returns the hosts of the inventory that are here, by their ids in MAAS."""
    found = {}
    for host in inventory.hosts:
        driver = driver_of(host)
        with suppress(InvalidRequest):  # an address that is none
            address = address_of(host, simulated_allowed=simulated_allowed)
            known = None if driver is None else state.host_at(driver.value, address, project_of(host))
            if known is not None:
                found[host.id] = known
    return found


def host_items(
    inventory: Inventory, state: RegionState, choices: Choices, *, simulated_allowed: bool
) -> Iterator[PlanItem]:
    names = {one.name for one in state.hosts}
    owners: dict[str, tuple[str, str]] = {}  # of key pairs, by address: the host's name and certificate
    for host in inventory.hosts:
        item = _host_item(host, state, names, simulated_allowed=simulated_allowed)
        item = chosen(item, choices.get(item.key, ""))
        if item.is_renamed:
            item = item.unless(_name_problem(item.new_name, names))
        if not item.stays_behind:
            names.add(item.new_name)
        if item.state in {ItemState.NEW, ItemState.CONFLICT} and driver_of(host) is DriverType.LXD:
            item = _with_pair(item, host, state, owners, address_of(host, simulated_allowed=simulated_allowed))
        yield item


def _with_pair(
    item: PlanItem, host: Host, state: RegionState, owners: dict[str, tuple[str, str]], address: str
) -> PlanItem:
    """Returns the item, with a note if the host gets another pair than it had in MAAS: one server has one pair here."""
    here = next((one.name for one in state.hosts if (one.driver, one.address) == ("lxd", address)), "")
    owner, certificate = (here, "") if here else owners.setdefault(address, (item.name, host.certificate))
    if owner == item.name or host.certificate in {certificate, ""}:
        return item
    note = (
        f"It uses the certificate of {owner}, which is on the same server. If that one is restricted to projects, "
        f"allow it to use {project_of(host)}, too."
    )
    return evolve(item, notes=(*item.notes, note))


def _host_item(host: Host, state: RegionState, names: set[str], *, simulated_allowed: bool) -> PlanItem:
    name = host.name or f"maas-host-{host.id}"
    try:
        address = address_of(host, simulated_allowed=simulated_allowed)
    except InvalidRequest as error:
        reason = " ".join(error.texts)
        return PlanItem(kind="hosts", source_id=host.id, name=name, state=ItemState.LEFT_OUT, reason=reason)
    driver, project = driver_of(host), project_of(host)
    word = "libvirt" if driver is DriverType.LIBVIRT else "LXD" if driver is DriverType.LXD else "simulated"
    becomes = f"{word} host at {host.power_address}" + (f", project {project}" if project else "")
    notes = tuple(_notes(host))
    known = state.host_at(driver.value if driver else "", address, project)
    if known is not None:
        note = () if known.name == name else (f"Its name here is {known.name}.",)
        return PlanItem(
            kind="hosts", source_id=host.id, name=name, state=ItemState.EXISTS, becomes=becomes, notes=(*note, *notes)
        )
    conflict, choices = _conflict(host, name, state, names, host_key(driver.value if driver else "", address, project))
    if conflict:
        return PlanItem(
            kind="hosts", source_id=host.id, name=name, state=ItemState.CONFLICT, becomes=becomes, reason=conflict,
            notes=notes, choices=choices,
        )  # fmt: skip
    return PlanItem(
        kind="hosts", source_id=host.id, name=name, state=ItemState.NEW, becomes=becomes, notes=notes,
        choices=(LEAVE_OUT,),
    )  # fmt: skip


def _conflict(host: Host, name: str, state: RegionState, names: set[str], key: str) -> tuple[str, tuple[str, ...]]:
    if problem := _name_problem(name, names):
        return problem, (RENAME, LEAVE_OUT)
    if key in state.shared_hosts:
        reason = (
            f"Another MAAS had {host.power_address} with the same project, too: each treats what it does not know as "
            "its own. Make sure that it no longer refreshes this host."
        )
        return reason, (SAME, LEAVE_OUT)
    return "", ()


def _name_problem(name: str, names: set[str]) -> str:
    """`names` are those of the hosts that are here, and of those of the plan before this one."""
    return f"Another VM host is named {name}." if name in names else problem_of(check_host_name, name)


def _notes(host: Host) -> Iterator[str]:
    if host.vault_paths:
        yield f"Its secrets are in Vault ({', '.join(host.vault_paths)}): it has to be trusted anew."
    elif host.power_type == "lxd" and not (host.certificate and host.key):
        yield "No certificate with its key is in the source: it has to be trusted anew."
    if host.power_type == "virsh" and "+ssh" in host.power_address and not host.power_pass:
        yield "Its SSH key is that of a rack of MAAS: it gets an own one, which you authorise there."
    if not host.complete:
        yield "MAAS 4.0 has lost its name, zone, pool, ratios and tags."
