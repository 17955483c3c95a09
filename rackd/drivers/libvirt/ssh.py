"""SSH as libvirt needs it: the host's key fetched and compared, ours handed over in memory, no user's settings."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from common.errors import DriverFailed, HostUnreachable, NotTrusted, PeerChanged
from common.libvirt_address import SSH_PORT, LibvirtAddress
from common.values import PeerIdentity

SCAN_S = 10
TRANSPORT = "libssh2"  # docs/decisions/0004: libssh hangs on long answers
# libssh2's own order: of the keys that a host has, this is the one that it will show us at a login.
_NEGOTIATED = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-ed25519", "ssh-rsa")


def fingerprint(material: str) -> str:
    """`SHA256:…` of a key `ssh-ed25519 AAAA…`, as ssh and ssh-keygen print it. ValueError when it is none."""
    blob = base64.b64decode(material.split()[1].encode(), validate=True)
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def offered_key(address: LibvirtAddress) -> PeerIdentity:
    """The host key that the SSH server shows, without logging in. HostUnreachable when none comes within 10 s."""
    keys = _scan(address)
    for kind in _NEGOTIATED:
        if kind in keys:
            material = f"{kind} {keys[kind]}"
            return PeerIdentity(kind="ssh-host-key", fingerprint=fingerprint(material), material=material)
    raise HostUnreachable(f"No SSH host key came from {_place(address)} within {SCAN_S} s.")


def _scan(address: LibvirtAddress) -> Mapping[str, str]:
    # The host is one that `libvirt_address.parse` let through: a name or IP address, which never starts with "-".
    options = ["-T", str(SCAN_S), "-p", str(address.port), "-t", "ed25519,ecdsa,rsa"]
    command = ["ssh-keyscan", *options, "--", address.host or ""]
    try:
        scan = subprocess.run(command, capture_output=True, text=True, timeout=SCAN_S + 5, check=False)  # noqa: S603  fixed
    except FileNotFoundError as error:
        raise DriverFailed("The program ssh-keyscan is missing on the rack: install openssh-client.") from error
    except subprocess.TimeoutExpired as error:
        raise HostUnreachable(f"{_place(address)} did not show its SSH host key within {SCAN_S + 5} s.") from error
    lines = (line.split() for line in scan.stdout.splitlines() if not line.startswith("#"))
    return {line[1]: line[2] for line in lines if len(line) == 3}


def _place(address: LibvirtAddress) -> str:
    return f"{address.bracketed_host}:{address.port}"


def public_key(private_key: str) -> str:
    """The OpenSSH line of a private key. DriverFailed when it is no key that can be read without a passphrase."""
    try:
        key = serialization.load_ssh_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise DriverFailed("The SSH private key of this host is not an unencrypted OpenSSH key.") from None
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(*form).decode()


@contextmanager
def connection_uri(address: LibvirtAddress, private_key: str, pinned: str) -> Iterator[str]:
    """A URI for libvirt that logs in with that key and accepts that host key only; valid inside the `with`.

    Both are files in memory, which vanish when it ends: libvirt reads them while it opens the connection. No ssh
    program is run and no file of the user is read.
    """
    place = address.host if address.port == SSH_PORT else f"[{address.host}]:{address.port}"
    with _in_memory("key", private_key) as key, _in_memory("known-hosts", f"{place} {pinned}\n") as known_hosts:
        options = {"keyfile": key, "known_hosts": known_hosts, "known_hosts_verify": "normal", "sshauth": "privkey"}
        yield (f"qemu+{TRANSPORT}://{address.user}@{_place(address)}{address.path}?{urlencode(options)}")


@contextmanager
def _in_memory(name: str, content: str) -> Iterator[str]:
    memory = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        os.write(memory, content.encode())
        yield f"/proc/self/fd/{memory}"
    finally:
        os.close(memory)


def explain(address: LibvirtAddress, private_key: str, pinned: str, reason: str) -> NotTrusted | PeerChanged:
    """Why a host that was reached would not have us: its key is another one now, or it does not know ours."""
    offered = offered_key(address)
    if offered.material != pinned:
        return PeerChanged(
            f"{_place(address)} shows the SSH host key {offered.fingerprint}; {fingerprint(pinned)} was trusted. "
            "Accept the new one only if you know why it changed.",
            trusted=fingerprint(pinned),
            offered=offered.fingerprint,
        )
    return NotTrusted(
        f"{_place(address)} does not let {address.user} in with our key. Add this line to {address.user}'s "
        f"~/.ssh/authorized_keys there: {public_key(private_key)} ({reason})",
        public_key=public_key(private_key),
    )
