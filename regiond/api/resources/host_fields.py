"""The parameters of VM hosts, and what can only be checked against the host at hand."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest
from common.values import DriverType
from regiond.api.encoding.groups import DOMAIN_ID, DOMAIN_NAME
from regiond.api.encoding.hosts import full_architecture
from regiond.api.fields import (
    Boolean,
    Choice,
    CommaList,
    Field,
    Float,
    Integer,
    IntegerList,
    Text,
    Values,
)
from regiond.field_words import at_most, no_choice
from regiond.hosts.model import MACVLAN_MODES, HostView
from regiond.machines.model import ComposeRequest
from regiond.machines.wishes import problems_of

_PEM = Text(longest=64 * 1024, blank=None)
_RATIO = Float(least=0.0, most=10.0)
_GROUP = Text(longest=256, blank=None)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOSTNAME = Text(
    longest=253,
    pattern=rf"{_LABEL}(?:\.{_LABEL})*",
    advice="Enter a host name: letters, digits and hyphens, at most 63 in a row, dots between.",
    blank=None,
)

TAG = Field(name="tag", kind=Text(pattern="[^,]+", advice='Tag may not contain a ",".'), doc="The tag.", required=True)

_COMMON = (
    Field(name="name", kind=Text(blank=None), doc="Any name; made up when there is none."),
    Field(name="tags", kind=CommaList(), doc="Tags separated by commas; replaces those there are."),
    Field(name="zone", kind=_GROUP, doc="Name of a zone."),
    Field(name="pool", kind=_GROUP, doc="Name of the resource pool for machines composed here."),
    Field(name="cpu_over_commit_ratio", kind=_RATIO, doc="0 to 10: how often each core may be claimed; 1.0."),
    Field(name="memory_over_commit_ratio", kind=_RATIO, doc="0 to 10: how often memory may be claimed; 1.0."),
    Field(
        name="reserved_cores",
        kind=Integer(most=65535),
        doc="Cores kept for the host itself, taken off before the ratio; 0.",
    ),
    Field(
        name="reserved_memory",
        kind=Integer(),
        doc="MiB of memory kept for the host itself, taken off before the ratio; 0.",
    ),
    Field(name="default_macvlan_mode", kind=Choice(choices=MACVLAN_MODES), doc=f"One of {', '.join(MACVLAN_MODES)}."),
    Field(
        name="power_pass",
        kind=Text(longest=1024, stripped=False),
        doc="libvirt over SSH: a password, where Innkeeper's own key is not accepted.",
    ),
    Field(
        name="project",
        kind=Text(
            longest=63,
            pattern=r"(?!\.{1,2}$)[^\s/_'\"*]+",
            advice="Enter the name of an LXD project: no blanks, slashes, underscores, quotes or asterisks.",
            blank=None,
        ),
        doc="LXD: the project whose VMs are managed, made when it is missing; default.",
    ),
    Field(
        name="password",
        kind=Text(longest=64 * 1024, blank=None),
        doc="LXD: a trust token, or a trust password where the server still has one; used once and forgotten.",
    ),
    Field(name="certificate", kind=_PEM, doc="LXD: a certificate of your own, PEM; with key. One is made otherwise."),
    Field(name="key", kind=_PEM, doc="LXD: the key of that certificate, PEM, without a pass phrase."),
)
_TYPE = Text(longest=32, blank=None)
CREATE = (
    Field(name="type", kind=_TYPE, required=True, doc="lxd; virsh for libvirt; simulated where the region allows it."),
    Field(
        name="power_address",
        kind=Text(longest=1024),
        required=True,
        doc="Where the host answers, such as host:8443 (LXD) or qemu+ssh://user@host/system (libvirt).",
    ),
    *_COMMON,
)
UPDATE = (
    Field(name="type", kind=_TYPE, doc="Cannot be changed; the same value is no error."),
    Field(name="power_address", kind=Text(longest=1024, blank=None), doc="A new address."),
    *_COMMON,
    Field(
        name="default_storage_pool",
        kind=Text(blank=None),
        doc="Id or name of the storage pool for disks that ask for none.",
    ),
)
DECOMPOSE = Field(
    name="decompose",
    kind=Boolean(),
    default=False,
    doc="Also remove the virtual machines that Innkeeper made there; without it they keep running.",
)
COMPOSE = (
    Field(name="cores", kind=Integer(least=1), default=1, doc="Number of cores; 1."),
    Field(name="memory", kind=Integer(least=1024), default=2048, doc="Memory in MiB, at least 1024; 2048."),
    Field(name="architecture", kind=Text(longest=64, blank=None), doc="Such as amd64/generic; the host's own."),
    Field(name="cpu_speed", kind=Integer(least=300), doc="MHz that the host's CPUs must have."),
    Field(
        name="storage",
        kind=Text(longest=8192),
        default="",
        doc="Disks as [label:]GB[(storage pool or tag,...)], separated by commas; root:8(local).",
    ),
    Field(
        name="interfaces",
        kind=Text(longest=16384),
        default="",
        doc=(
            "Cards as label:key=value,key=value, joined by semicolons, such as eth0:space=dmz;eth1:subnet=10.1.0.0/24,"
            "ip=10.1.0.20; one card on the host's default network."
        ),
    ),
    Field(name="hostname", kind=HOSTNAME, doc="Unique name; made up when there is none."),
    Field(name="domain", kind=Text(longest=256, blank=None), doc="Id or name of a domain."),
    Field(name="zone", kind=_GROUP, doc="Id or name of a zone; the default one."),
    Field(name="pool", kind=_GROUP, doc="Id or name of a resource pool; the host's."),
    Field(
        name="pinned_cores",
        kind=IntegerList(most=65535),
        default=(),
        doc="Id of a core of the host that is the machine's alone; one value for each. Then cores has no effect.",
    ),
    Field(
        name="pin_cores",
        kind=Integer(least=1, most=65535),
        doc="So many cores of one NUMA node are the machine's alone, threads of a core together. Then cores has none.",
    ),
    Field(name="hugepages_backed", kind=Boolean(), default=False, doc="Back all memory with huge pages of the host."),
    Field(
        name="hugepage_size",
        kind=Integer(least=1, most=1024 * 1024),
        doc="MiB of a huge page, such as 2 or 1024; the smallest that divides memory and has room.",
    ),
    Field(
        name="one_numa_node",
        kind=Boolean(),
        default=False,
        doc="Take pinned cores and huge pages all from one NUMA node.",
    ),
    Field(name="skip_commissioning", kind=Boolean(), default=False, doc="Accepted; nothing is commissioned here."),
    Field(name="power_on", kind=Boolean(), default=False, doc="Also switch the machine on."),
)


def driver_named(name: str, *, simulated_hosts: bool) -> DriverType:
    """The driver of a new host. Raises InvalidRequest with the field `type`."""
    usable = [DriverType.LXD, DriverType.LIBVIRT, *([DriverType.SIMULATED] if simulated_hosts else [])]
    if name not in {driver.value for driver in usable}:
        types = ", ".join(driver.value for driver in usable)
        raise InvalidRequest.of({"type": [f"{no_choice(name)} There are: {types}."]})
    return DriverType(name)


def check_same_type(host: HostView, name: str | None) -> None:
    if name is not None and name != host.driver.value:
        raise InvalidRequest.of(
            {"type": ["Cannot change the type of a pod. Delete and re-create the pod with a different type."]}
        )


def check_compose(host: HostView, values: Values) -> None:
    """What the fields alone cannot tell. Raises InvalidRequest with every field that cannot be met.

    A host whose capacity is unknown has no bounds here; that it takes no machines is for the service to say.
    """
    wrong = {**_out_of_bounds(host, values), **problems_of(compute_of(values))}
    if values["domain"] not in {None, str(DOMAIN_ID), DOMAIN_NAME}:
        wrong["domain"] = [no_choice()]
    if wrong:
        raise InvalidRequest.of(wrong)


def compute_of(values: Values) -> ComposeRequest:
    """What compose and the dry run ask of a machine in the same words."""
    return ComposeRequest(
        cores=values["cores"],
        memory_mib=values["memory"],
        architecture=own_architecture(values["architecture"]),
        storage=values["storage"],
        interfaces=values["interfaces"],
        pinned_cores=values["pinned_cores"],
        pin_cores=values["pin_cores"],
        huge_pages_backed=values["hugepages_backed"],
        huge_page_size_mib=values["hugepage_size"],
        one_numa_node=values["one_numa_node"],
    )


def _out_of_bounds(host: HostView, values: Values) -> dict[str, list[str]]:
    wrong: dict[str, list[str]] = {}
    if host.total is not None:
        limits: Mapping[str, int] = {"cores": host.total.cores, "memory": host.total.memory_mib}
        if values["pinned_cores"] or values["pin_cores"] is not None:  # then cores has no effect
            limits = {"memory": host.total.memory_mib}
        wrong |= {name: [at_most(limit)] for name, limit in limits.items() if values[name] > limit}
    speed = values["cpu_speed"]
    if speed is not None and host.cpu_speed_mhz is not None and speed > host.cpu_speed_mhz:
        wrong["cpu_speed"] = [at_most(host.cpu_speed_mhz)]
    wanted = values["architecture"]
    if wanted is not None and host.architecture is not None and wanted != full_architecture(host.architecture):
        wrong["architecture"] = [no_choice(wanted)]
    return wrong


def own_architecture(name: str | None) -> str | None:
    """`amd64/generic` as the services call it: `amd64`."""
    return None if name is None else name.partition("/")[0]
