"""The commands that a person runs on a server of LXD or Incus so that it trusts Innkeeper. Pure."""

from __future__ import annotations

import hashlib
import re
import shlex
from urllib.parse import quote, urlsplit

from attrs import frozen

from common.words.product_commands import commands_of

CERTIFICATE_PATH = "/MAAS/vmhost-certificate/"
_ALWAYS_THERE = "default"  # the project that every LXD server has
_THIS_COMPUTER = ("127.0.0.1", "::1", "localhost")
_INSECURE = " The region's public_url is not HTTPS: compare this command with what the region's own machine shows."
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def certificate_url(base: str, host_name: str) -> str:
    """Returns the URL, which needs no quoting in a shell. `base` is scheme, host and port of the region."""
    return base + CERTIFICATE_PATH + quote(host_name, safe="")


def trust_name(host_name: str) -> str:
    """Returns the certificate's name in LXD's trust list: one word of ASCII letters, digits, dots and hyphens."""
    return f"innkeeper-{_NOT_IN_NAMES.sub('-', host_name)[:64].strip('-') or 'host'}"


@frozen(kw_only=True)
class TrustInstructions:
    """The commands for one host. The server downloads our certificate, `certificate_pem`, from `url`."""

    host_name: str
    url: str
    certificate_pem: str
    project: str
    product: str = ""  # LXD or Incus; empty while it is not known

    @property
    def command(self) -> str:
        """Returns a shell command for the server that trusts the certificate only for the host's project.

        It creates the project if the server does not have it, because a certificate restricted to projects may not.
        """
        name = shlex.quote(self.project)
        client = commands_of(self.product).client
        make = f"{{ {client} project show {name} >/dev/null 2>&1 || {client} project create {name}; }} && "
        trust = f"{self._trust} --restricted --projects {name}"
        return f"{self._checked}{'' if self.project == _ALWAYS_THERE else make}{trust}"

    @property
    def unrestricted_command(self) -> str:
        """Returns the command for all projects. It too changes nothing if the answer is not our certificate."""
        return f"{self._checked}{self._trust}"

    @property
    def _checked(self) -> str:
        """Returns the check of the whole answer: a check of only the decoded certificate would accept further text."""
        digest = hashlib.sha256(self.certificate_pem.strip().encode() + b"\n").hexdigest()
        return f'c=$(curl -fsS {shlex.quote(self.url)}) && echo "$c" | sha256sum | grep ^{digest} && '

    @property
    def _trust(self) -> str:
        add = commands_of(self.product).add_certificate
        return f'echo "$c" | {add} - --name {trust_name(self.host_name)}'

    def waiting_text(self, reason: str) -> str:
        """Returns the reason why the host waits, and the command. Warns if a network could have changed the command."""
        return (
            f"{reason.rstrip('. ')}. {self.host_name} continues automatically when the server trusts Innkeeper. "
            f"On that server run: {self.command} — or give the host a trust token as its password."
            f"{'' if self._is_protected else _INSECURE}"
        )

    @property
    def _is_protected(self) -> bool:
        parts = urlsplit(self.url)
        return parts.scheme == "https" or parts.hostname in _THIS_COMPUTER


def accept_command(host_id: int, fingerprint: str) -> str:
    """Returns the CLI command that accepts a changed certificate or host key."""
    return f"innkeeper vm-host trust {host_id} fingerprint={fingerprint}"


def confirm_command(host_id: int, identity: str) -> str:
    """Returns the CLI command that accepts the new identity of a host's server."""
    return f"innkeeper vm-host confirm-server {host_id} identity={shlex.quote(identity)}"


def confirm_same_command(host_id: int, other_id: int) -> str:
    """Returns the CLI command that confirms that two hosts are one server."""
    return f"innkeeper vm-host confirm-server {host_id} host={other_id}"
