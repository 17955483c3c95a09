"""Derives the properties of a host on which a domain's definition depends."""

from __future__ import annotations

from attrs import frozen

from rackd.drivers.architectures import debian_architecture
from rackd.drivers.libvirt.connection.host_reader import HostResponses
from rackd.drivers.libvirt.xml import parse

_X86 = {"x86_64", "i686", "i386"}
_X86_VIRTUALIZATION = {"vmx", "svm"}


@frozen(kw_only=True)
class HostTraits:
    """`kernel_architecture` is libvirt's name (`x86_64`), `architecture` Debian's (`amd64`)."""

    kernel_architecture: str
    architecture: str
    domain_type: str  # kvm, qemu or test
    privileged: bool  # the system's libvirt daemon, not a user session

    @property
    def emulated(self) -> bool:
        return self.domain_type != "kvm"


def traits_of(responses: HostResponses) -> HostTraits:
    kernel_architecture = str(responses.node_info[0])
    domain_type = "test" if responses.uri.startswith("test:") else _domain_type(responses, kernel_architecture)
    return HostTraits(
        kernel_architecture=kernel_architecture,
        architecture=debian_architecture(kernel_architecture),
        domain_type=domain_type,
        privileged=responses.uri.endswith("/system"),
    )


def _domain_type(responses: HostResponses, kernel_architecture: str) -> str:
    """Returns `kvm` if the host offers it and an x86 processor has virtualization extensions.

    A paravirtual KVM inside a virtual machine offers /dev/kvm without these extensions, and guests with the host's
    CPU model then crash at start; such a host uses emulation. If the processor is unknown, the offer decides.
    """
    tree = parse(responses.capabilities, "its capabilities")
    offered = {
        domain.get("type")
        for arch in tree.iterfind("guest/arch")
        if arch.get("name") == kernel_architecture
        for domain in arch.iterfind("domain")
    }
    if "kvm" not in offered:
        return "qemu"
    if kernel_architecture not in _X86 or responses.expanded_cpu is None:
        return "kvm"
    features = {found.get("name") for found in tree.iterfind("host/cpu/feature")}
    features |= {found.get("name") for found in parse(responses.expanded_cpu, "its processor").iterfind("feature")}
    return "kvm" if features & _X86_VIRTUALIZATION else "qemu"
