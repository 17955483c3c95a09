"""The calls that each client makes in these tests; the tests check that they make these and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen


def _frozen(calls: Iterable[str]) -> frozenset[str]:
    return frozenset(calls)


@frozen(kw_only=True)
class Client:
    """`tested` says how; `since` is the release of Innkeeper that has all its calls.

    `life` are the calls of its scenario from the first call to the last, which runs on simulated hosts, and on a
    real LXD server if `on_lxd`; `others` are those of other scenarios, by their names.
    """

    name: str
    tested: str
    since: str = "0.1.0"
    on_lxd: bool = False
    life: frozenset[str] = field(converter=_frozen)
    others: Mapping[str, Iterable[str]] = field(factory=dict)

    @property
    def calls(self) -> frozenset[str]:
        return self.life.union(*self.others.values())

    @property
    def hosts(self) -> str:
        return "simulated, LXD" if self.on_lxd else "simulated"

    def check(self, made: Iterable[str], scenario: str | None = None) -> None:
        """Raises AssertionError if the client made other calls than declared here: the page has these."""
        declared = self.life if scenario is None else set(self.others[scenario])
        assert set(made) == declared, "declare these calls in tests/clients/calls.py:\n" + "\n".join(
            f'        "{call}",' for call in sorted(set(made))
        )


LIBMAAS = Client(name="python-libmaas", tested="real: 0.6.8 of PyPI", on_lxd=True, life=(
    "DELETE machines/{system_id}/", "DELETE pods/{id}/", "DELETE tags/{name}/", "GET boot-resources/", "GET describe/",
    "GET domains/", "GET fabrics/", "GET machines/", "GET machines/{system_id}/",
    "GET machines/{system_id}/?op=query_power_state", "GET pods/", "GET spaces/", "GET subnets/",
    "GET users/?op=whoami", "GET version/", "GET zones/", "POST machines/?op=allocate",
    "POST machines/{system_id}/?op=deploy", "POST machines/{system_id}/?op=lock",
    "POST machines/{system_id}/?op=release", "POST machines/{system_id}/?op=unlock", "POST pods/",
    "POST pods/{id}/?op=compose", "POST pods/{id}/?op=refresh", "POST tags/", "POST tags/{name}/?op=update_nodes",
), others={
    "routes, devices and links": (
        "GET describe/", "GET devices/", "GET machines/{system_id}/", "GET static-routes/", "POST devices/",
        "POST nodes/{system_id}/interfaces/{id}/?op=link_subnet",
        "POST nodes/{system_id}/interfaces/{id}/?op=unlink_subnet",
    ),
})  # fmt: skip
LIBMAAS_COMMAND = Client(
    name="maas command of libmaas",
    tested="real: 0.6.8 of PyPI",
    life=(
        "GET describe/",
        "GET fabrics/",
        "GET fabrics/{id}/",
        "GET machines/",
        "GET machines/{system_id}/",
        "GET spaces/",
        "GET subnets/",
        "GET tags/",
        "GET users/?op=whoami",
        "POST machines/?op=allocate",
        "POST machines/{system_id}/?op=deploy",
        "POST machines/{system_id}/?op=release",
    ),
)
JUJU = Client(
    name="Juju",
    tested="real: gomaasapi 2.0.0 of Debian 12",
    on_lxd=True,
    life=(
        "DELETE devices/{system_id}/", "DELETE files/{filename}/",
        "GET boot-resources/",
        "GET devices/",
        "GET domains/",
        "GET fabrics/",
        "GET files/",
        "GET files/{filename}/",
        "GET machines/",
        "GET pools/",
        "GET spaces/", "GET static-routes/",
        "GET tags/",
        "GET users/?op=whoami",
        "GET version/",
        "GET zones/",
        "POST devices/",
        "POST files/",
        "POST machines/?op=allocate",
        "POST machines/?op=release",
        "POST machines/{system_id}/?op=deploy",
        "POST machines/{system_id}/?op=set_owner_data",
        "POST nodes/{system_id}/interfaces/{id}/?op=link_subnet",
        "PUT nodes/{system_id}/interfaces/{id}/",
    ),
)  # fmt: skip
TERRAFORM = Client(name="Terraform", tested="bytes: gomaasclient of February 2026", on_lxd=True, life=(
    "DELETE dnsresources/{id}/", "DELETE domains/{id}/", "DELETE machines/{system_id}/", "DELETE pods/{id}/",
    "DELETE tags/{name}/", "GET account/prefs/sshkeys/", "GET dnsresources/", "GET dnsresources/{id}/",
    "GET domains/{id}/", "GET fabrics/", "GET fabrics/{fabric_id}/vlans/", "GET maas/?op=get_config",
    "GET machines/{system_id}/",
    "GET machines/{system_id}/?op=power_parameters", "GET nodes/{system_id}/interfaces/", "GET pods/{id}/",
    "GET pods/{id}/?op=parameters", "GET rackcontrollers/", "GET resourcepools/", "GET spaces/", "GET subnets/",
    "GET tags/{name}/", "GET tags/{name}/?op=machines", "GET users/", "GET zones/", "POST dnsresources/",
    "POST domains/", "POST ipaddresses/?op=release", "POST machines/?op=allocate", "POST machines/?op=release",
    "POST machines/{system_id}/?op=clear_default_gateways", "POST machines/{system_id}/?op=deploy",
    "POST nodes/{system_id}/interfaces/{id}/?op=disconnect", "POST nodes/{system_id}/interfaces/{id}/?op=link_subnet",
    "POST nodes/{system_id}/interfaces/{id}/?op=set_default_gateway",
    "POST nodes/{system_id}/interfaces/{id}/?op=unlink_subnet", "POST pods/", "POST pods/{id}/?op=compose",
    "POST tags/", "POST tags/{name}/?op=update_nodes", "PUT dnsresources/{id}/", "PUT machines/{system_id}/",
    "PUT pods/{id}/",
), others={
    "release_params": ("GET machines/{system_id}/", "POST machines/{system_id}/?op=release"),
    "device": (
        "DELETE devices/{system_id}/", "GET devices/{system_id}/", "POST devices/", "PUT devices/{system_id}/",
    ),
    "instance that allocate composed": (
        "GET machines/{system_id}/", "POST machines/?op=allocate", "POST machines/?op=release",
        "POST machines/{system_id}/?op=deploy",
    ),
    "vm_host of a machine": (
        "DELETE pods/{id}/", "GET maas/?op=get_config", "GET machines/", "GET machines/{system_id}/", "GET pods/",
        "GET pods/{id}/", "POST machines/?op=allocate", "POST machines/?op=release",
        "POST machines/{system_id}/?op=deploy", "PUT pods/{id}/",
    ),
    "NICs and disks": (
        "GET machines/", "GET nodes/{system_id}/blockdevices/", "GET nodes/{system_id}/blockdevices/{id}/",
        "GET nodes/{system_id}/interfaces/", "GET nodes/{system_id}/interfaces/{id}/", "GET subnets/",
        "POST machines/{system_id}/?op=clear_default_gateways",
        "POST nodes/{system_id}/blockdevices/{id}/?op=add_tag",
        "POST nodes/{system_id}/blockdevices/{id}/?op=remove_tag",
        "POST nodes/{system_id}/blockdevices/{id}/?op=set_boot_disk",
        "POST nodes/{system_id}/interfaces/{id}/?op=add_tag",
        "POST nodes/{system_id}/interfaces/{id}/?op=disconnect",
        "POST nodes/{system_id}/interfaces/{id}/?op=link_subnet",
        "POST nodes/{system_id}/interfaces/{id}/?op=remove_tag",
        "POST nodes/{system_id}/interfaces/{id}/?op=set_default_gateway",
        "POST nodes/{system_id}/interfaces/{id}/?op=unlink_subnet", "PUT nodes/{system_id}/blockdevices/{id}/",
        "PUT nodes/{system_id}/interfaces/{id}/",
    ),
    "new NICs and disks": (
        "DELETE nodes/{system_id}/blockdevices/{id}/", "DELETE nodes/{system_id}/interfaces/{id}/", "GET machines/",
        "GET nodes/{system_id}/blockdevices/", "GET nodes/{system_id}/blockdevices/{id}/",
        "GET nodes/{system_id}/interfaces/", "POST nodes/{system_id}/blockdevices/",
        "POST nodes/{system_id}/blockdevices/{id}/?op=add_tag",
        "POST nodes/{system_id}/blockdevices/{id}/?op=remove_tag",
        "POST nodes/{system_id}/interfaces/?op=create_physical", "PUT nodes/{system_id}/blockdevices/{id}/",
    ),
    "data sources": (
        "GET boot-resources/", "GET boot-resources/?op=is_importing", "GET boot-sources/", "GET devices/",
        "GET fabrics/", "GET fabrics/{fabric_id}/vlans/", "GET maas/?op=get_config", "GET machines/",
        "GET machines/{system_id}/?op=power_parameters", "GET nodes/{system_id}/blockdevices/",
        "GET nodes/{system_id}/interfaces/", "GET pods/", "GET pods/{id}/?op=parameters", "GET rackControllers/",
        "GET rackcontrollers/", "GET resourcepools/", "GET subnets/", "GET zones/",
    ),
    "subnet with ip_ranges": (
        "DELETE ipranges/{id}/", "DELETE subnets/{id}/", "GET fabrics/", "GET fabrics/{fabric_id}/vlans/",
        "GET ipranges/", "GET subnets/{id}/", "POST ipranges/", "POST subnets/", "PUT subnets/{id}/",
    ),
})  # fmt: skip
ANSIBLE = Client(name="Ansible", tested="bytes: maas.maas 1.0.0", on_lxd=True, life=(
    "DELETE machines/{system_id}/", "DELETE tags/{name}/", "DELETE vm-hosts/{id}/", "GET machines/",
    "GET machines/{system_id}/", "GET nodes/{system_id}/interfaces/", "GET subnets/", "GET tags/", "GET vm-hosts/",
    "POST machines/{system_id}/?op=deploy", "POST machines/{system_id}/?op=release",
    "POST nodes/{system_id}/interfaces/{id}/?op=link_subnet", "POST tags/", "POST tags/{name}/?op=update_nodes",
    "POST vm-hosts/", "POST vm-hosts/{id}/?op=compose", "PUT vm-hosts/{id}/",
), others={
    "subnet with ip_ranges": (
        "DELETE ipranges/{id}/", "DELETE subnets/{id}/", "GET fabrics/", "GET ipranges/", "GET subnets/",
        "GET subnets/{id}/", "POST ipranges/", "POST subnets/", "PUT subnets/{id}/",
    ),
})  # fmt: skip
CLUSTER_API = Client(name="Cluster API", tested="bytes: maas-client-go", on_lxd=True, life=(
    "DELETE dnsresources/{id}/", "GET dnsresources/", "GET machines/{system_id}/", "GET resourcepools/", "GET tags/",
    "GET users/?op=whoami", "GET zones/", "POST dnsresources/", "POST machines/?op=allocate",
    "POST machines/{system_id}/?op=deploy", "POST machines/{system_id}/?op=release",
    "POST vm-hosts/{id}/?op=compose", "PUT dnsresources/{id}/",
))  # fmt: skip
MAASCLI = Client(name="maas command", tested="bytes: maascli of MAAS 3.7", life=(
    "DELETE files/{filename}/", "DELETE machines/{system_id}/", "DELETE vm-hosts/{id}/", "GET describe/",
    "GET files/?op=get", "GET machines/", "GET users/?op=whoami", "GET version/", "GET vm-hosts/", "POST files/",
    "POST machines/?op=allocate", "POST machines/{system_id}/?op=deploy", "POST machines/{system_id}/?op=release",
    "POST tags/", "POST tags/{name}/?op=update_nodes", "POST vm-hosts/", "POST vm-hosts/{id}/?op=compose",
))  # fmt: skip
ALL = (JUJU, TERRAFORM, ANSIBLE, CLUSTER_API, MAASCLI, LIBMAAS, LIBMAAS_COMMAND)
