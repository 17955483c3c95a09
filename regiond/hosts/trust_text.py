"""What people are told to do so that an LXD server trusts us: commands to paste, with nothing to fill in."""

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
    """What the certificate is called in LXD's trust list: one plain word."""
    return f"innkeeper-{_NOT_IN_NAMES.sub('-', host_name)[:64].strip('-') or 'host'}"


def trust_command(url: str, host_name: str, *, only_project: str | None = None) -> str:
    """For a shell on the LXD server. `only_project` restricts the certificate to that project."""
    command = f"curl -fsS {shlex.quote(url)} | lxc config trust add - --name {trust_name(host_name)}"
    return command if only_project is None else f"{command} --restricted --projects {shlex.quote(only_project)}"


def waiting_text(host_name: str, reason: str, url: str) -> str:
    return (
        f"{reason.rstrip('. ')}. {host_name} waits to be trusted and goes on by itself once it is. On the LXD server "
        f"run: {trust_command(url, host_name)} — or update the host with a trust token as its password."
    )
