"""Builds the cloud-init data of a machine's deployment from its rows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve

from common.addresses.report_url import VM_HOST
from common.guests.deployment_spec import CloudInitSeed
from regiond.machines.core.guest_spec import nic_spec
from regiond.machines.running.deployment.cloud_init import CloudInitInput, cloud_init_seed
from regiond.machines.running.deployment.copied_system import NEW_IDENTITY
from regiond.machines.running.deployment.model import Deployment
from regiond.machines.running.deployment.network_config import NicNetwork
from regiond.machines.running.deployment.vm_host.cloud_config import vm_host_config
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.networks.model import DOMAIN_NAME

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
    """Returns the seed. `report_to` is the URL of the report, with its secret.

    Raises InvalidRequest for unusable user data.
    """
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
            additions=_additions(deployment, report_to, time_limit_s),
        )
    )


def make_copied_seed(machine: MachineView, *, ssh_keys: Iterable[str]) -> CloudInitSeed:
    """Returns the seed of a machine whose disks are copies of those of a deployed one. It reports to nobody."""
    return cloud_init_seed(
        CloudInitInput(
            instance_id=f"{machine.uuid}-copy",
            hostname=machine.hostname,
            domain=DOMAIN_NAME,
            ssh_keys=tuple(ssh_keys),
            report_url=None,
            report_within_s=0.0,
            nics=tuple(evolve(_network(nic), dhcp_by_mac=True) for nic in machine.nics),
            additions=NEW_IDENTITY,
        )
    )


def _additions(deployment: Deployment, report_to: str, time_limit_s: float) -> Mapping[str, Any]:
    setup = deployment.vm_host
    return {} if setup is None else vm_host_config(setup.driver, setup.public, report_to + VM_HOST, time_limit_s)


def _network(nic: NicView) -> NicNetwork:
    mtu = None if nic.vlan is None or nic.vlan.mtu == _DEFAULT_MTU else nic.vlan.mtu
    domains = (DOMAIN_NAME,) if nic.ip_address is not None else ()
    return NicNetwork(nic=nic_spec(nic), mtu=mtu, search_domains=domains, default_routes=nic.gateway_versions)
