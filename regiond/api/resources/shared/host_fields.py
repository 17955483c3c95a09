"""The fields with which VM hosts are added and updated, and the checks of type and address."""

from __future__ import annotations

from common.errors import InvalidRequest
from common.installed_drivers import added_types
from common.values import Autostart, DriverType
from regiond.api.declaration.endpoint import Call
from regiond.api.declaration.field_types import Boolean, Choice, CommaList, Float, Integer, Secret, Text
from regiond.api.declaration.fields import Field, Format, Problems
from regiond.hosts.address.host_address import parse_host_address
from regiond.hosts.model import AS_ABOVE, MACVLAN_MODES, HostView
from regiond.requests.validation_messages import no_choice

_LONGEST_SECRET = 64 * 1024
_PEM = Text(max_length=_LONGEST_SECRET, blank=None)
_PRIVATE_PEM = Secret(max_length=_LONGEST_SECRET, strip=True, blank=None)
_RATIO = Float(minimum=0.0, maximum=10.0)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
GROUP = Text(max_length=256, blank=None)
HOSTNAME = Text(
    max_length=253,
    pattern=rf"{_LABEL}(?:\.{_LABEL})*",
    message="Enter a hostname: labels of at most 63 letters, digits and hyphens, separated by dots.",
    blank=None,
)
TAG = Field(
    "tag",
    Text(pattern="[^,]+", message='Tag may not contain a ",".'),
    "The tag.",
    recorded=True,
    required=True,
    example="ssd",
)

AUTOSTART_CHOICES = (*(one.value for one in Autostart), AS_ABOVE)


def autostart_field(doc: str) -> Field:
    return Field("autostart", Choice(choices=AUTOSTART_CHOICES), doc, example="last-state")


_COMMON = (
    Field("name", Text(blank=None), "Name of the host (default: generated).", recorded=True, example="hv-02"),
    Field("tags", CommaList(), "Tags, separated by commas; replaces all tags of the host.", recorded=True),
    Field("zone", GROUP, "Name of a zone.", recorded=True),
    Field("pool", GROUP, "Name of the resource pool for machines that are composed on the host.", recorded=True),
    Field("cpu_over_commit_ratio", _RATIO, "Claimable cores per physical core, 0 to 10 (default 1.0).", example=2.0),
    Field("memory_over_commit_ratio", _RATIO, "Claimable memory per physical memory, 0 to 10 (default 1.0)."),
    Field(
        "reserved_cores",
        Integer(maximum=65535),
        "Cores reserved for the host itself, subtracted before the ratio applies (default 0).",
    ),
    Field(
        "reserved_memory",
        Integer(),
        "MiB of memory reserved for the host itself, subtracted before the ratio applies (default 0).",
        format=Format.MIB,
    ),
    Field("default_macvlan_mode", Choice(choices=MACVLAN_MODES), f"Mode of macvlan NICs: {', '.join(MACVLAN_MODES)}."),
    autostart_field(
        "What becomes of the host's VMs when it starts: last-state (those that ran before run again), always, never, "
        "or default: as autostart in the region's settings says. VMs with a setting of their own and adopted ones are "
        "not concerned."
    ),
    Field(
        "power_pass",
        Secret(max_length=_LONGEST_SECRET),
        (
            "libvirt over SSH: a password, for hosts that do not accept Innkeeper's SSH key. LXD: the same as "
            "password, for clients that do not send that one."
        ),
    ),
    Field(
        "project",
        Text(
            max_length=63,
            pattern=r"(?!\.{1,2}$)[^\s/_'\"*]+",
            message="Enter the name of an LXD project: no blanks, slashes, underscores, quotes or asterisks.",
            blank=None,
        ),
        "LXD: the project whose VMs Innkeeper manages, created if it does not exist (default: default).",
        recorded=True,
    ),
    Field(
        "password",
        Secret(max_length=_LONGEST_SECRET, strip=True, blank=None),
        "LXD: a trust token, or the trust password of an older server. Used once, not stored.",
    ),
    Field("certificate", _PEM, "LXD: your own client certificate as PEM, with key (default: generated)."),
    Field("key", _PRIVATE_PEM, "LXD: the private key of that certificate as PEM, without a passphrase."),
    Field(
        "fingerprint",
        Text(max_length=128, blank=None),
        (
            "Fingerprint that the server has to present: SHA-256 of its certificate in hex (LXD), or SHA256:… of its "
            "SSH host key (default: whatever it presents first is pinned, and a trust password is not sent)."
        ),
        recorded=True,
    ),
    Field(
        "trust_on_first_use",
        Boolean(),
        "LXD: send a trust password also to a server whose fingerprint nobody has confirmed (default false).",
    ),
)
_TYPE = Text(max_length=32, blank=None)
INCUS = "incus"  # has the driver of LXD, which recognises it
CREATE = (
    Field(
        "type",
        _TYPE,
        "lxd, incus (the same as lxd: which of them answers is in `product`), virsh (libvirt), or simulated if the "
        "region permits simulated hosts.",
        recorded=True,
        required=True,
        example="lxd",
    ),
    Field(
        "power_address",
        Text(max_length=1024),
        "Address of the host, such as host:8443 (LXD) or qemu+ssh://user@host/system (libvirt).",
        recorded=True,
        required=True,
        example="10.0.0.5:8443",
    ),
    *_COMMON,
)
UPDATE = (
    Field("type", _TYPE, "Cannot be changed; the current value is accepted.", recorded=True),
    Field("power_address", Text(max_length=1024, blank=None), "A new address.", recorded=True),
    *_COMMON,
    Field(
        "default_storage_pool",
        Text(blank=None),
        "Id or name of the storage pool for disks without a storage pool or tag.",
        recorded=True,
    ),
    Field(
        "default_network",
        Text(max_length=255),
        "Name of the network or interface of the host for NICs without constraints. Empty: Innkeeper chooses, in the "
        "order maas, default, other managed networks, bridges, virtual functions, macvlan.",
        recorded=True,
        example="br0",
    ),
)


def create_problems(call: Call) -> Problems:
    """Returns problems: the region must offer the type, and the address must fit the type."""
    simulated_hosts = call.info.simulated_hosts
    name, address = call.values["type"], call.values["power_address"]
    if name is None:
        return {}
    types = [DriverType.LXD.value, INCUS, DriverType.LIBVIRT.value]
    types += [*([DriverType.SIMULATED.value] if simulated_hosts else []), *added_types()]
    if name not in types:
        return {"type": [no_choice(name, types)]}
    return _address_problems(driver_named(name), address, simulated_hosts=simulated_hosts)


def driver_named(name: str) -> DriverType:
    """Returns the driver for a type that `create_problems` accepts."""
    return DriverType.LXD if name == INCUS else DriverType(name)


def update_problems(call: Call) -> Problems:
    """Returns problems: the type must be that of the host, and a new address must fit it."""
    host: HostView = call.target
    name, address = call.values["type"], call.values["power_address"]
    is_same = name == host.driver.value or (name == INCUS and host.driver is DriverType.LXD)
    if name is not None and not is_same:
        return {"type": ["Cannot change the type of a pod. Delete and re-create the pod with a different type."]}
    return _address_problems(host.driver, address, simulated_hosts=call.info.simulated_hosts)


def _address_problems(driver: DriverType, address: str | None, *, simulated_hosts: bool) -> Problems:
    if address is None:
        return {}
    try:
        parse_host_address(driver, address, simulated_allowed=simulated_hosts)
    except InvalidRequest as error:
        return dict(error.fields)
    return {}
