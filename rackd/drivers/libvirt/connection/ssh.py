"""Fetches and compares SSH host keys, and passes the private key to libvirt in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from common.addresses.host_identity import identity_fingerprint
from common.addresses.libvirt import SSH_PORT, LibvirtAddress
from common.errors import DriverFailed, HostUnreachable, NotTrusted, PeerChanged
from common.values import PeerIdentity

SCAN_S = 10
TRANSPORT = "libssh2"  # docs/decisions/0004: libssh hangs on long responses
# libssh2's preference: of a host's keys, the first of these is the one that it presents at a login.
_KEY_TYPES = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-ed25519", "ssh-rsa")


def offered_key(address: LibvirtAddress) -> PeerIdentity:
    """Returns the SSH host key that the server presents before a login. Raises HostUnreachable if none arrives within
    10 s.
    """
    keys = _scan(address)
    for kind in _KEY_TYPES:
        if kind in keys:
            material = f"{kind} {keys[kind]}"
            return PeerIdentity(kind="ssh-host-key", fingerprint=identity_fingerprint(material), material=material)
    raise HostUnreachable(f"{_endpoint(address)} presented no SSH host key within {SCAN_S} s.")


def _scan(address: LibvirtAddress) -> Mapping[str, str]:
    # `libvirt_address.parse` accepts only host names and IP addresses, which never start with "-".
    options = ["-T", str(SCAN_S), "-p", str(address.port), "-t", "ed25519,ecdsa,rsa"]
    command = ["ssh-keyscan", *options, "--", address.host or ""]
    try:
        scan = subprocess.run(command, capture_output=True, text=True, timeout=SCAN_S + 5, check=False)  # noqa: S603  fixed
    except FileNotFoundError as error:
        raise DriverFailed("The rack has no ssh-keyscan. Install the package openssh-client.") from error
    except subprocess.TimeoutExpired as error:
        raise HostUnreachable(f"{_endpoint(address)} presented no SSH host key within {SCAN_S + 5} s.") from error
    lines = (line.split() for line in scan.stdout.splitlines() if not line.startswith("#"))
    return {line[1]: line[2] for line in lines if len(line) == 3}


def _endpoint(address: LibvirtAddress) -> str:
    return f"{address.bracketed_host}:{address.port}"


def public_key(private_key: str) -> str:
    """Returns the OpenSSH public key line. Raises DriverFailed unless the key is an unencrypted OpenSSH private key."""
    try:
        key = serialization.load_ssh_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise DriverFailed("The SSH private key of this host is not an unencrypted OpenSSH key.") from None
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(*form).decode()


@contextmanager
def connection_uri(address: LibvirtAddress, private_key: str, pinned: str) -> Iterator[str]:
    """Yields a URI with which libvirt logs in with this private key and accepts only the pinned host key.

    Both are files in memory that exist only inside the `with` block: libvirt reads them while it connects. It runs no
    ssh program and reads no file of the user.
    """
    host = address.host if address.port == SSH_PORT else f"[{address.host}]:{address.port}"
    with _in_memory("key", private_key) as key, _in_memory("known-hosts", f"{host} {pinned}\n") as known_hosts:
        options = {"keyfile": key, "known_hosts": known_hosts, "known_hosts_verify": "normal", "sshauth": "privkey"}
        yield (f"qemu+{TRANSPORT}://{address.user}@{_endpoint(address)}{address.path}?{urlencode(options)}")


@contextmanager
def _in_memory(name: str, content: str) -> Iterator[str]:
    memory = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        os.write(memory, content.encode())
        yield f"/proc/self/fd/{memory}"
    finally:
        os.close(memory)


def explain(address: LibvirtAddress, private_key: str, pinned: str, reason: str) -> NotTrusted | PeerChanged:
    """Returns why a reachable host rejected the login: its host key changed, or it does not accept our key."""
    offered = offered_key(address)
    if offered.material != pinned:
        return PeerChanged(
            f"{_endpoint(address)} presents the SSH host key {offered.fingerprint} instead of the pinned "
            f"{identity_fingerprint(pinned)}. If it was replaced on purpose, accept it with: "
            f"innkeeper vm-host trust ID fingerprint={offered.fingerprint}",
            trusted=identity_fingerprint(pinned),  # released; `pinned` is its name with LXD too
            pinned=identity_fingerprint(pinned),
            offered=offered.fingerprint,
        )
    return NotTrusted(
        f"{_endpoint(address)} rejected the SSH key for {address.user}. Add this line to ~/.ssh/authorized_keys of "
        f"{address.user} on that host: {public_key(private_key)} ({reason})",
        public_key=public_key(private_key),
    )
