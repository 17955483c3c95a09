"""The setup of a machine that becomes a VM host, and the report of its guest. Pure."""

from __future__ import annotations

from attrs import field, frozen

from common.addresses.host_names import bracketed
from common.errors import DeploymentFailed
from common.hosts.vm_host_report import VmHostReport
from common.values import DriverType
from regiond.credentials.model import KeyPair, SshKeyPair
from regiond.hosts.model import NewHost, OnMachine
from regiond.machines.values.model import MachineView

LIBVIRT_USER = "innkeeper"  # `libvirt.sh` creates this user
_LXD_PORT = 8443
_NAMES = {DriverType.LXD: "LXD", DriverType.LIBVIRT: "libvirt"}
_MORE_NAMES = 9


@frozen(kw_only=True)
class VmHostSetup:
    """A hypervisor to set up in a guest. It trusts `public`: a certificate (PEM), or an SSH public key (one line)."""

    driver: DriverType
    public: str
    sealed_key: bytes | None = field(default=None, repr=False)
    report: VmHostReport | None = None


def check_report(setup: VmHostSetup, hostname: str) -> VmHostReport:
    """Returns the report of the guest. Raises DeploymentFailed if the hypervisor does not work."""
    name, report = _NAMES[setup.driver], setup.report
    if report is None:
        raise DeploymentFailed(
            f"{hostname} booted, but did not report that {name} was set up. The reason is in the guest's file "
            "/var/log/cloud-init-output.log."
        )
    if report.problem:
        raise DeploymentFailed(f"{hostname} booted, but {name} could not be set up in it: {report.problem}")
    return report


def new_host(machine: MachineView, setup: VmHostSetup, private_key: str) -> NewHost:
    """Returns the VM host to add. Raises DeploymentFailed as `check_report`."""
    report = check_report(setup, machine.hostname)
    is_lxd = setup.driver is DriverType.LXD
    where = bracketed(report.address)
    pair = KeyPair(certificate_pem=setup.public, key_pem=private_key) if is_lxd else None
    ssh = None if is_lxd else SshKeyPair(public_line=setup.public, private_pem=private_key)
    return NewHost(
        driver=setup.driver,
        address=f"https://{where}:{_LXD_PORT}" if is_lxd else f"qemu+ssh://{LIBVIRT_USER}@{where}/system",
        name=machine.hostname,
        zone=machine.zone.name,
        pool=machine.pool.name,
        fingerprint=report.fingerprint,
        on_machine=OnMachine(
            machine_id=machine.id,
            other_names=tuple(f"{machine.hostname}-{number}" for number in range(2, 2 + _MORE_NAMES)),
            key_pair=pair,
            ssh_key_pair=ssh,
        ),
    )
