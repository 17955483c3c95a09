"""Builds the cloud-init data of a machine's deployment from its rows. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from common.deployment_spec import CloudInitSeed
from common.guest_spec import NicAddress, NicSpec
from common.values import NicKind
from regiond.machines.deployment.cloud_init import CloudInitInput, cloud_init_seed
from regiond.machines.deployment.model import Deployment
from regiond.machines.deployment.network_config import NicNetwork
from regiond.machines.model import MachineView, NicView
from regiond.networks.model import DOMAIN_NAME

_UNCONFIGURED = "unconfigured"
_DEFAULT_MTU = 1500


def make_seed(
    machine: MachineView,
    deployment: Deployment,
    *,
    ssh_keys: Iterable[str],
    user_data: bytes,
    report_to: str,
    time_limit_s: float,
) -> CloudInitSeed:
    """`report_to` is the address of the report, with its secret. Raises InvalidRequest for unusable user data."""
    return cloud_init_seed(
        CloudInitInput(
            instance_id=f"{machine.uuid}-{deployment.id}",
            hostname=machine.hostname,
            domain=DOMAIN_NAME,
            ssh_keys=tuple(ssh_keys),
            report_url=report_to,
            report_within_s=time_limit_s,
            user_data=user_data or None,
            nics=tuple(_network(nic) for nic in machine.nics),
        )
    )


def _network(nic: NicView) -> NicNetwork:
    mtu = None if nic.vlan is None or nic.vlan.mtu == _DEFAULT_MTU else nic.vlan.mtu
    return NicNetwork(nic=_spec(nic), mtu=mtu, search_domains=(DOMAIN_NAME,) if nic.ip_address is not None else ())


def _spec(nic: NicView) -> NicSpec:
    return NicSpec(
        name=nic.name,
        mac_address=nic.mac_address,
        kind=NicKind(nic.kind),
        source=nic.source,
        vid=nic.vid,
        address=_address(nic),
        configured=nic.mode != _UNCONFIGURED,
    )


def _address(nic: NicView) -> NicAddress | None:
    """None for DHCP."""
    if nic.ip_address is None or nic.subnet is None:
        return None
    return NicAddress(
        address=str(nic.ip_address),
        prefix_length=nic.subnet.cidr.prefixlen,
        gateway=None if nic.subnet.gateway_ip is None else str(nic.subnet.gateway_ip),
        dns_servers=tuple(str(server) for server in nic.subnet.dns_servers),
    )
