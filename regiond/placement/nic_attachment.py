"""Attaches each NIC of a machine to a host interface: bridges, virtual functions, then macvlan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from common.values import DriverType, NicKind
from common.words.phrases import number_of
from regiond.placement.bipartite_matching import Shortage, match
from regiond.placement.candidate import Candidate, CandidateInterface
from regiond.placement.interface_matching import (
    describe_conditions,
    matching_interfaces,
    mismatch,
    no_usable_interface,
    subnet_of,
    usable_interfaces,
)
from regiond.placement.interface_parser import nic_name
from regiond.placement.model import NicAttachment
from regiond.placement.requirements import NicRequirement

DEFAULT_NIC = "eth0"

_PREFERRED_NETWORKS = ("maas", "default")  # the names that MAAS users give to these networks
_DEFAULT = NicRequirement(label=DEFAULT_NIC)
_MACVLAN_MODE = "bridge"
_BRIDGES = (NicKind.NETWORK, NicKind.BRIDGE)


def attach_nics(nics: tuple[NicRequirement, ...], host: Candidate) -> tuple[tuple[NicAttachment, ...], str | None]:
    """Returns the attachment of each NIC in the order of `nics`, or none and the reason. No `nics`: the default NIC.

    The best matching interface is chosen: bridge, then bond, then other; with virtual functions before without; the
    highest id. If the best one uses virtual functions and has none free, another match with a free one is chosen, but
    never one without virtual functions.
    """
    if not nics:
        default = default_attachment(host)
        return ((default,), None) if default is not None else ((), no_default_attachment(host))
    ranked: list[list[CandidateInterface]] = []
    for nic in nics:
        found = sorted(matching_interfaces(nic, host), key=_rank)
        if not found:
            return (), mismatch(nic, host)
        ranked.append(found)
    wanted = {
        number: [one for one in found if _uses_function(one)]
        for number, found in enumerate(ranked)
        if _uses_function(found[0])
    }
    chosen = _with_functions(wanted)
    if isinstance(chosen, Shortage):
        return (), _missing_functions(chosen, nics, host)
    return tuple(
        _attachment(nic.label, nic_name(nic.label), chosen.get(number, found[0]), host, nic)
        for number, (nic, found) in enumerate(zip(nics, ranked, strict=True))
    ), None


def default_attachment(host: Candidate) -> NicAttachment | None:
    """Returns the NIC of a machine without NIC requirements; None if the host has nothing to attach it to.

    The host's setting decides. Without one, the order is: the network `maas`, then `default`, then the first managed
    network; then bridges, virtual functions and macvlan, each with DHCP first, then the newest. A libvirt host without
    any of these has QEMU's user-mode network, which needs nothing of the host; it precedes interfaces without a known
    uplink.
    """
    for one in _in_default_order(host):
        if one.kind is not NicKind.USER and (not _uses_function(one) or one.functions_free > 0):
            return _attachment("", DEFAULT_NIC, one, host, _DEFAULT)
    if host.driver == DriverType.LIBVIRT.value and not host.default_network:
        return NicAttachment(label="", name=DEFAULT_NIC, kind=NicKind.USER, source="")
    return None


def no_default_attachment(host: Candidate) -> str:
    """Returns why `default_attachment` is None."""
    usable = usable_interfaces(host)
    if not usable:
        return f"needs an interface for the default NIC: {no_usable_interface(host)}"
    if host.default_network:
        usable = [one for one in usable if one.name == host.default_network]
        if not usable:
            return (
                f"needs an interface for the default NIC: {host.default_network}, its default_network, is missing, "
                "inactive or cannot be attached"
            )
    return f"needs 1 virtual function for {DEFAULT_NIC}, {_free({port_of(one): one for one in usable})}"


def port_of(one: CandidateInterface) -> str:
    """Returns the name under which the ledger counts the interface's virtual functions."""
    return one.function_port or one.name


def required_functions(nics: Iterable[NicAttachment]) -> Mapping[str, int]:
    """Returns the number of virtual functions per port that the attachments claim."""
    required: dict[str, int] = {}
    for nic in nics:
        if nic.function_port is not None:
            required[nic.function_port] = required.get(nic.function_port, 0) + 1
    return required


def _in_default_order(host: Candidate) -> Iterable[CandidateInterface]:
    usable = usable_interfaces(host)
    if host.default_network:
        named = (one for one in usable if one.name == host.default_network)
        yield from sorted(named, key=lambda one: (one.kind not in _BRIDGES, *_default_rank(one)))
        return
    managed = sorted((one for one in usable if one.kind is NicKind.NETWORK), key=lambda one: one.id)
    bridges = [one for one in usable if one.kind is NicKind.BRIDGE]
    for name in _PREFERRED_NETWORKS:
        yield from (one for one in [*managed, *bridges] if one.name == name)
    yield from managed
    connected = (one for one in usable if one.kind is not NicKind.NETWORK and _has_uplink(one, host))
    yield from sorted(connected, key=_default_rank)


def _rank(one: CandidateInterface) -> tuple[int, bool, int]:
    if one.type == "bridge" or one.kind in _BRIDGES:
        return 0, False, -one.id
    return (1 if one.type == "bond" else 2), not _uses_function(one), -one.id


def _default_rank(one: CandidateInterface) -> tuple[bool, bool, bool, int]:
    return one.kind is not NicKind.BRIDGE, not _uses_function(one), not one.dhcp, -one.id


def _has_uplink(one: CandidateInterface, host: Candidate) -> bool:
    """libvirt reports every bridge and port of the server, including those of other hypervisors."""
    if host.driver != DriverType.LIBVIRT.value:
        return True
    return one.dhcp or (one.kind is NicKind.BRIDGE and one.parent is not None)


def _uses_function(one: CandidateInterface) -> bool:
    if one.kind is NicKind.SRIOV:
        return True
    return one.kind is NicKind.MACVLAN and one.type != "bridge" and one.functions_total > 0


def _with_functions(
    wanted: Mapping[int, Sequence[CandidateInterface]],
) -> Mapping[int, CandidateInterface] | Shortage[str]:
    """Returns the interface of each NIC that uses a virtual function. Interfaces that share a port share its count."""
    free = {port_of(one): one.functions_free for found in wanted.values() for one in found}
    ports = {number: list(dict.fromkeys(port_of(one) for one in found)) for number, found in wanted.items()}
    assigned = match(ports, free)
    if isinstance(assigned, Shortage):
        return assigned
    return {number: next(one for one in wanted[number] if port_of(one) == port) for number, port in assigned.items()}


def _missing_functions(shortage: Shortage[str], nics: Sequence[NicRequirement], host: Candidate) -> str:
    short = [nics[number] for number in shortage.demands]
    ports = {
        port_of(one): one
        for one in usable_interfaces(host)
        if _uses_function(one) and port_of(one) in shortage.resources
    }
    conditions = [text for text in dict.fromkeys(describe_conditions(nic) for nic in short) if text]
    suffix = f" ({'; '.join(conditions)})" if conditions else ""
    functions = number_of(len(short), "virtual function")
    return f"needs {functions} for {', '.join(nic.label for nic in short)}{suffix}, {_free(ports)}"


def _free(ports: Mapping[str, CandidateInterface]) -> str:
    return ", ".join(
        f"{one.functions_free} of {one.functions_total} free on {port}" for port, one in sorted(ports.items())
    )


def _attachment(label: str, name: str, one: CandidateInterface, host: Candidate, nic: NicRequirement) -> NicAttachment:
    uses_function = _uses_function(one)
    macvlan = one.kind is NicKind.MACVLAN and not uses_function
    port = port_of(one) if uses_function else None
    return NicAttachment(
        label=label,
        name=name,
        kind=NicKind.SRIOV if uses_function else one.kind,
        source=port or one.name,
        interface_id=one.id,
        vid=(one.vid or None) if uses_function and one.type == "vlan" else None,
        macvlan_mode=(host.default_macvlan_mode or _MACVLAN_MODE) if macvlan else None,
        vlan_id=one.vlan_id,
        subnet_id=subnet_of(nic, one),
        ip=nic.ip,
        configured=nic.configured,
        function_port=port,
    )
