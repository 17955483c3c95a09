"""The commands that a person runs on an LXD server so that it trusts Innkeeper. Pure."""

from __future__ import annotations

import re
import shlex
from urllib.parse import quote

CERTIFICATE_PATH = "/MAAS/vmhost-certificate/"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def certificate_url(base: str, host_name: str) -> str:
    """`base` is scheme, host and port of the region. The result needs no quoting in a shell."""
    return base + CERTIFICATE_PATH + quote(host_name, safe="")


def trust_name(host_name: str) -> str:
    """The certificate's name in LXD's trust list: one word of ASCII letters, digits, dots and hyphens."""
    return f"innkeeper-{_NOT_IN_NAMES.sub('-', host_name)[:64].strip('-') or 'host'}"


def trust_command(url: str, host_name: str, *, only_project: str | None = None) -> str:
    """A shell command for the LXD server. `only_project` restricts the certificate to that project."""
    command = f"curl -fsS {shlex.quote(url)} | lxc config trust add - --name {trust_name(host_name)}"
    return command if only_project is None else f"{command} --restricted --projects {shlex.quote(only_project)}"


def waiting_text(host_name: str, reason: str, url: str) -> str:
    return (
        f"{reason.rstrip('. ')}. {host_name} continues automatically when the server trusts Innkeeper. On that server "
        f"run: {trust_command(url, host_name)} — or give the host a trust token as its password."
    )


def accept_command(host_id: int, fingerprint: str) -> str:
    """The command of the CLI that accepts a changed certificate or host key."""
    return f"innkeeper vm-host trust {host_id} fingerprint={fingerprint}"


def confirm_command(host_id: int, identity: str) -> str:
    """The command of the CLI that accepts the new identity of a host's server."""
    return f"innkeeper vm-host confirm-server {host_id} identity={shlex.quote(identity)}"


def confirm_same_command(host_id: int, other_id: int) -> str:
    """The command of the CLI that confirms that two hosts are one server."""
    return f"innkeeper vm-host confirm-server {host_id} host={other_id}"
