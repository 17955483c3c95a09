"""Refuses to send a secret header over plain HTTP to another computer, unless the settings say so."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from common.addresses.ip_networks import LOOPBACK
from common.errors import BadSettings

ALLOWED = "allow_plain_http"


def check_header_is_private(url: str | None, header: Path | None, *, setting: str, allowed: bool) -> None:
    """Raises BadSettings if `header`, a file with a secret line, would be readable on the network.

    `setting`: the name of that of the `url`. A URL that cannot be read is rejected where it is used.
    """
    if url is None or header is None or allowed:
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return
    if parts.scheme == "http" and not is_loopback(host):
        raise BadSettings(
            f"{setting} sends the header of {header} to {host} over plain HTTP, where it can be read on the network. "
            f"Use https://, or set {ALLOWED} to true.",
            setting=setting,
        )


def is_loopback(host: str) -> bool:
    return host == "localhost" or host in LOOPBACK
