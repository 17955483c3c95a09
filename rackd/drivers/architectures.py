"""Converts names of processor architectures: the kernel's and Debian's."""

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
    """Returns the name that the API uses (`amd64`) for the one that hypervisors report (`x86_64`).

    Returns an unknown name unchanged.
    """
    return _DEBIAN.get(kernel, kernel)


def kernel_architecture(debian: str) -> str:
    """Returns the kernel's name for Debian's, and an unknown name unchanged."""
    return _KERNEL.get(debian, debian)
