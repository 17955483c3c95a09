"""libvirt's errors are translated, and SSH keys are read and passed in memory."""

from __future__ import annotations

import errno
from pathlib import Path

import libvirt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.addresses.libvirt import parse
from common.errors import (
    Busy,
    DriverFailed,
    HostUnreachable,
    InnkeeperError,
    NotFound,
    NotTrusted,
    OutOfCapacity,
    Unsupported,
)
from rackd.drivers.libvirt.connection.errors import translate, translate_open
from rackd.drivers.libvirt.connection.ssh import connection_uri, public_key


def error_of(code: int, words: str, number: int = -1) -> libvirt.libvirtError:
    error = libvirt.libvirtError(words)
    error.err = (code, libvirt.VIR_FROM_NONE, words, libvirt.VIR_ERR_ERROR, None, None, None, number, -1)
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (error_of(libvirt.VIR_ERR_NO_DOMAIN, "Domain not found"), NotFound),
        (error_of(libvirt.VIR_ERR_NO_STORAGE_VOL, "no storage vol"), NotFound),
        (error_of(libvirt.VIR_ERR_SYSTEM_ERROR, "cannot extend file", errno.ENOSPC), OutOfCapacity),
        (error_of(libvirt.VIR_ERR_INTERNAL_ERROR, "lvcreate: insufficient free space: 3 extents"), OutOfCapacity),
        (error_of(libvirt.VIR_ERR_INTERNAL_ERROR, "Not enough free space in pool"), OutOfCapacity),
        (error_of(libvirt.VIR_ERR_OPERATION_TIMEOUT, "cannot acquire state change lock"), Busy),
        (error_of(libvirt.VIR_ERR_NO_SUPPORT, "not supported"), Unsupported),
        (error_of(libvirt.VIR_ERR_INTERNAL_ERROR, "qemu unexpectedly closed the monitor"), DriverFailed),
    ],
)
def test_libvirt_errors_are_translated_with_their_message(
    error: libvirt.libvirtError, kind: type[InnkeeperError]
) -> None:
    translated = translate(error, "start web-1", connected=True)
    assert type(translated) is kind
    assert str(translated) == f"Cannot start web-1: {error}"


def test_errors_on_a_lost_connection_are_unreachable() -> None:
    lost = error_of(libvirt.VIR_ERR_INTERNAL_ERROR, "client socket is closed")
    assert type(translate(lost, "start web-1", connected=False)) is HostUnreachable


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            error_of(libvirt.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket: No such file or directory"),
            HostUnreachable,
        ),
        (error_of(libvirt.VIR_ERR_AUTH_FAILED, "authentication failed"), NotTrusted),
        (error_of(libvirt.VIR_ERR_AUTH_UNAVAILABLE, "no polkit agent available"), NotTrusted),
        (error_of(libvirt.VIR_ERR_SSH, "Can't verify the session host key"), NotTrusted),
        (error_of(libvirt.VIR_ERR_SSH, "failed to open channel"), HostUnreachable),
        (error_of(libvirt.VIR_ERR_INVALID_ARG, "transport in URL not recognised"), Unsupported),
    ],
)
def test_errors_of_open_are_translated(error: libvirt.libvirtError, kind: type[InnkeeperError]) -> None:
    assert type(translate_open(error, "qemu:///system")) is kind


def test_this_libvirt_has_the_constants() -> None:
    assert libvirt.VIR_DOMAIN_EVENT_STARTED == 2
    assert libvirt.VIR_DOMAIN_EVENT_STOPPED == 5
    assert libvirt.VIR_DOMAIN_EVENT_CRASHED == 8
    assert libvirt.VIR_DOMAIN_PMSUSPENDED == 7


def private_key() -> str:
    form = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    return Ed25519PrivateKey.generate().private_bytes(*form).decode()


def test_unreadable_keys_are_rejected_without_showing_them() -> None:
    with pytest.raises(DriverFailed) as caught:
        public_key("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----")
    assert "secret" not in str(caught.value)


def test_keys_are_in_memory_only_while_connecting() -> None:
    key = private_key()
    address = parse("qemu+ssh://me@[2001:db8::1]:2222/system")
    with connection_uri(address, key, "ssh-ed25519 AAAA") as uri:
        assert key.splitlines()[1] not in uri
        assert in_memory() == {key, "[2001:db8::1]:2222 ssh-ed25519 AAAA\n"}
    assert in_memory() == set()


def test_known_hosts_omits_the_default_port() -> None:
    with connection_uri(parse("qemu+ssh://me@kvm1/system"), private_key(), "ssh-ed25519 AAAA"):
        assert "kvm1 ssh-ed25519 AAAA\n" in in_memory()


def in_memory() -> set[str]:
    """The contents of this process's in-memory files."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        if link.is_symlink() and str(link.readlink()).startswith("/memfd:"):
            found.add(link.read_text())
    return found
