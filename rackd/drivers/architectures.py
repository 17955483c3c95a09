"""Names of processor architectures: the kernel's, which hypervisors report, and Debian's, which Innkeeper uses."""

from __future__ import annotations

_DEBIAN = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "ppc64le": "ppc64el",
    "s390x": "s390x",
    "i686": "i386",
    "i386": "i386",
    "armv7l": "armhf",
    "riscv64": "riscv64",
}
_KERNEL = {debian: kernel for kernel, debian in reversed(_DEBIAN.items())}  # the first of two names


def debian_architecture(kernel: str) -> str:
    """Returns Debian's name (`amd64`) for the kernel's (`x86_64`), and an unknown name unchanged."""
    return _DEBIAN.get(kernel, kernel)


def kernel_architecture(debian: str) -> str:
    """Returns the kernel's name for Debian's, and an unknown name unchanged."""
    return _KERNEL.get(debian, debian)
