"""The fields of compose and of its dry run, and their checks against the chosen host."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from common.guests.compose_request import ComposeRequest
from common.words.phrases import number_of
from regiond.api.declaration.field_types import Boolean, Integer, IntegerList, Text
from regiond.api.declaration.fields import Field, Format, Problems, Values
from regiond.api.resources.shared.affinity_fields import AFFINITY
from regiond.api.resources.shared.host_fields import GROUP, HOSTNAME
from regiond.api.serializers.groups import DOMAIN_ID
from regiond.api.serializers.vm_hosts.hosts import full_architecture
from regiond.hosts.model import ComposeTarget
from regiond.machines.arrivals.compose.requirements import syntax_problems
from regiond.networks.model import DOMAIN_NAME
from regiond.requests.validation_messages import no_choice

DEFAULT_CORES, DEFAULT_MEMORY_MIB = 1, 2048
STORAGE = Text(max_length=16384, joined_by=",")  # gomaasclient and libmaas may repeat it, once for each disk
INTERFACES = Text(max_length=16384, joined_by=";")
COMPOSE = (
    Field("cores", Integer(minimum=1), "Number of cores (default 1, or as the template).", example=2),
    Field(
        "memory",
        Integer(minimum=1024, unit="MiB"),
        "Memory in MiB, at least 1024 (default 2048, or as the template).",
        format=Format.MIB,
        example=4096,
    ),
    Field(
        "architecture",
        Text(max_length=64, blank=None),
        "Architecture, such as amd64/generic (default: that of the host).",
        recorded=True,
    ),
    Field("cpu_speed", Integer(minimum=300), "Minimum CPU speed of the host in MHz."),
    Field(
        "storage",
        STORAGE,
        (
            "Disks as [label:]GB[(storage pool or tag,...)], separated by commas, the root disk first "
            "(default root:8(local)). pool:NAME demands that storage pool; a tag that names none only labels the disk."
        ),
        recorded=True,
        default="",
        format=Format.DISKS_GB,
        example="8,20",
    ),
    Field(
        "interfaces",
        INTERFACES,
        (
            "NICs as label:key=value,key=value, separated by semicolons, such as eth0:space=dmz;"
            "eth1:subnet=10.1.0.0/24,ip=10.1.0.20 (default: one NIC on the default network of the host)."
        ),
        recorded=True,
        default="",
    ),
    Field(
        "template",
        Text(max_length=256, blank=None),
        "Id or hostname of a machine whose disks the new one begins with copies of, in their order, on the same host; "
        "it has to be off. What is not given is as it has it. Its disks can be larger in storage, further ones are "
        "empty, and interfaces replace its NICs.",
        recorded=True,
    ),
    Field("hostname", HOSTNAME, "Unique hostname (default: generated).", recorded=True, example="quick-newt"),
    Field("domain", Text(max_length=256, blank=None), "Id or name of a domain.", recorded=True),
    Field("zone", GROUP, "Id or name of a zone (default: that of the host).", recorded=True),
    Field("pool", GROUP, "Id or name of a resource pool (default: that of the host).", recorded=True),
    Field(
        "pinned_cores",
        IntegerList(maximum=65535),
        "Id of a host core to pin, used by this machine alone; may be repeated. Replaces cores.",
        default=(),
        format=Format.INTEGERS,
    ),
    Field(
        "pin_cores",
        Integer(minimum=1, maximum=65535),
        "Number of cores to pin on one NUMA node, with whole physical cores where possible. Replaces cores.",
    ),
    Field("hugepages_backed", Boolean(), "Back all memory with huge pages of the host (default false).", default=False),
    Field(
        "hugepage_size",
        Integer(minimum=1, maximum=1024 * 1024),
        "Size of a huge page in MiB, such as 2 or 1024 (default: the smallest that divides memory and is free).",
        format=Format.MIB,
    ),
    Field(
        "one_numa_node",
        Boolean(),
        "Take all pinned cores and huge pages from one NUMA node (default false).",
        default=False,
    ),
    Field(
        "max_cores",
        Integer(minimum=1, maximum=65535),
        "Cores that the machine can get while it runs (default: those it has; LXD needs no such preparation). They "
        "are not claimed.",
    ),
    Field(
        "max_memory",
        Integer(minimum=1024, unit="MiB"),
        "Memory in MiB that the machine can get while it runs, on libvirt by a virtio-mem device (default: what it "
        "has). It is not claimed.",
        format=Format.MIB,
    ),
    Field(
        "uefi",
        Boolean(),
        "Give the machine UEFI firmware (default false: what its host and its image need; virtual machines of LXD "
        "always have it). The host has to support it.",
        default=False,
    ),
    Field(
        "secure_boot",
        Boolean(),
        "Start only systems that are signed, with UEFI (default false). The host has to support it.",
        default=False,
    ),
    Field("tpm", Boolean(), "Give the machine a TPM 2.0 (default false). The host has to support it.", default=False),
    Field(
        "register_in_maas",
        Text(max_length=64, blank=None),
        "Name of a MAAS server in which the machine is registered once it is composed: it boots from the network "
        "first, stays off, and that MAAS starts it to commission it.",
        recorded=True,
    ),
    Field(
        "owner",
        Text(max_length=256, blank=None),
        "Name of the user whom the machine belongs to; only administrators name another than themselves. It is "
        "allocated then, and no stock.",
        recorded=True,
    ),
    Field(
        "stock",
        Boolean(),
        "Whether the machine is stock: Ready, without owner, for any operator of its pool to allocate until somebody "
        "uses it. False: it is allocated to you, or to owner. Default true, as in MAAS, without owner and template; "
        "the command innkeeper sends false.",
    ),
    *AFFINITY,
    Field(
        "skip_commissioning",
        Boolean(),
        "Accepted for compatibility; Innkeeper does not commission machines.",
        default=False,
    ),
    Field("power_on", Boolean(), "Power the machine on (default false).", default=False),
)

_DEPENDS_ON: Mapping[str, frozenset[str]] = {
    "max_cores": frozenset({"cores", "pinned_cores", "pin_cores"}),
    "max_memory": frozenset({"memory", "hugepages_backed"}),
    "hugepage_size": frozenset({"memory", "hugepages_backed"}),
    "one_numa_node": frozenset({"pinned_cores", "pin_cores", "hugepages_backed"}),
    "pin_cores": frozenset({"pinned_cores"}),
}


def compose_request(values: Values) -> ComposeRequest:
    """Returns the part of the request that compose and its dry run share."""
    template = values.get("template")
    cores, memory_mib = (0, 0) if template else (DEFAULT_CORES, DEFAULT_MEMORY_MIB)
    return ComposeRequest(
        template=template,
        cores=values["cores"] or cores,
        memory_mib=values["memory"] or memory_mib,
        architecture=own_architecture(values["architecture"]),
        storage=values["storage"],
        interfaces=values["interfaces"],
        pinned_cores=values["pinned_cores"],
        pin_cores=values["pin_cores"],
        huge_pages_backed=values["hugepages_backed"],
        huge_page_size_mib=values["hugepage_size"],
        one_numa_node=values["one_numa_node"],
        uefi=values["uefi"],
        secure_boot=values["secure_boot"],
        tpm=values["tpm"],
        register_in_maas=values["register_in_maas"],
        affinity=values["affinity"],
        anti_affinity=values["anti_affinity"],
        max_cores=values["max_cores"],
        max_memory_mib=values["max_memory"],
        owner=values["owner"],
        stock=_is_stock(values),
    )


def _is_stock(values: Values) -> bool:
    """A copy has the data of its template: it is stock only if that is asked for."""
    stock: bool | None = values["stock"]
    return stock if stock is not None else not (values["owner"] or values.get("template"))


def own_architecture(name: str | None) -> str | None:
    """Returns the architecture in the words of the services: `amd64` for `amd64/generic`."""
    return None if name is None else name.partition("/")[0]


def compose_problems(host: ComposeTarget, values: Values, invalid: Collection[str]) -> Problems:
    """Returns problems by field, including those with the limits of the host. An unknown capacity is no limit here.

    `invalid` are the fields that did not parse.
    """
    syntax = without_derived(syntax_problems(compose_request(values)), invalid)
    problems = {**_limit_problems(host, values), **syntax, **domain_problems(values)}
    wanted = values["architecture"]
    if wanted is not None and host.architecture is not None and wanted != full_architecture(host.architecture):
        problems["architecture"] = [no_choice(wanted, [full_architecture(host.architecture)])]
    return problems


def without_derived(problems: Mapping[str, Sequence[str]], invalid: Collection[str]) -> Problems:
    """Returns the problems without those that the default value of an invalid field may have caused."""
    return {
        name: list(texts) for name, texts in problems.items() if not _DEPENDS_ON.get(name, frozenset()) & {*invalid}
    }


def domain_problems(values: Values) -> Problems:
    domain = values["domain"]
    return {} if domain in {None, str(DOMAIN_ID), DOMAIN_NAME} else {"domain": [no_choice(domain, [DOMAIN_NAME])]}


def _limit_problems(host: ComposeTarget, values: Values) -> Problems:
    problems: Problems = {}
    is_pinned = values["pinned_cores"] or values["pin_cores"] is not None
    if host.cores is not None and (values["cores"] or 0) > host.cores and not is_pinned:
        problems["cores"] = [f"host {host.name} has only {number_of(host.cores, 'core')}"]
    if host.memory_mib is not None and (values["memory"] or 0) > host.memory_mib:
        problems["memory"] = [f"host {host.name} has only {host.memory_mib} MiB of memory"]
    speed = values["cpu_speed"]
    if speed is not None and host.cpu_speed_mhz is not None and speed > host.cpu_speed_mhz:
        problems["cpu_speed"] = [f"the CPUs of host {host.name} run at {host.cpu_speed_mhz} MHz"]
    return problems
