"""Builds the cloud-init data of a deployment. Pure.

The user's parts come first and ours last. cloud-init merges each part of cloud-config into the parts before it, by the
Merge-Type header of the later part, so ours decide. Our lists are appended to the user's and maps are merged; host name
and `phone_home` replace the user's. docs/decisions/0025-cloud-init-data.md has the behaviour verified with cloud-init.

The root disk needs nothing here: growpart and resizefs of every cloud image's cloud-init grow it at first boot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import deep_iterable, ge, matches_re, optional

from common.addresses.report_url import USER_DATA
from common.guests.deployment_spec import CloudInitSeed
from regiond.machines.running.deployment.mime_parts import Part, join
from regiond.machines.running.deployment.network_config import NicNetwork, network_config
from regiond.machines.running.deployment.user_data_kinds import parts_of

MAX_TRIES, MIN_TRIES = 100, 5
_SECONDS_A_TRY = 10  # cloud-init waits 3 s between two tries; a connection takes some seconds to fail
_APPENDED = "list(append)+dict(no_replace,recurse_list)"  # without str(): a text in place of a list stays the user's
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NEVER_CLOUD_CONFIG = ("text/x-shellscript", "text/cloud-boothook", "text/part-handler")
_UNREADABLE = ("text/x-include", "application/")  # addresses, and gzip inside a MIME message


def _is_one_line(_: object, attribute: Attribute[str], key: str) -> None:
    if not key.isprintable():
        raise ValueError(f"{attribute.name} must be lines of printable characters")


@frozen(kw_only=True)
class CloudInitInput:
    """The input of a deployment's cloud-init data. Raises ValueError for a value that could change its meaning.

    `instance_id` is new in every deployment: cloud-init configures a guest again when it changes. An empty `domain`
    does not change the host name. `report_url` contains the secret of the report; `report_within_s` is the time limit
    of the deployment in seconds. Without a URL, the guest does not report. `additions` is more cloud-config of ours,
    such as `packages` and `runcmd`.
    """

    instance_id: str = field(validator=matches_re(r"[A-Za-z0-9._-]{1,64}"))
    hostname: str = field(validator=matches_re(_LABEL))
    domain: str = field(default="", validator=matches_re(rf"(?:{_LABEL}(?:\.{_LABEL})*)?"))
    ssh_keys: tuple[str, ...] = field(default=(), validator=deep_iterable(_is_one_line))
    # cloud-init replaces $NAME in the URL and fails for a name that it does not know.
    report_url: str | None = field(validator=optional(matches_re(r"https?://[!#%-~]+")), repr=False)
    report_within_s: float = field(validator=ge(0))
    user_data: bytes | None = field(default=None, repr=False)
    nics: tuple[NicNetwork, ...] = ()
    additions: Mapping[str, Any] = field(factory=dict, repr=False)

    @property
    def fqdn(self) -> str:
        return f"{self.hostname}.{self.domain}" if self.domain else self.hostname


def cloud_init_seed(source: CloudInitInput) -> CloudInitSeed:
    """Returns the seed; the same input gives the same seed.

    Raises InvalidRequest if the user data cannot be used, which `decode_user_data` has checked before.
    """
    users_parts = parts_of(source.user_data or b"")
    ours = _our_parts(source, users_parts)
    return CloudInitSeed(
        meta_data=_meta_data(source),
        user_data=join((*users_parts, *ours)),
        network_config=network_config(source.nics),
        short_user_data=None
        if source.report_url is None or not users_parts
        else join((_include(source.report_url + USER_DATA), *ours)),
    )


def included_user_data(user_data: bytes) -> bytes:
    """Returns the content that a guest fetches in place of these user data: the parts of a seed that are the user's.

    Always ASCII: cloud-init stores it, and at later boots decodes the file as UTF-8, so that gzip would fail there.
    """
    return join(parts_of(user_data))


def _include(url: str) -> Part:
    """Returns a part that names the URL of the user's parts.

    cloud-init puts the fetched parts, with their headers, in its place and stores them, so that later boots fetch
    nothing: the URL no longer works then.
    """
    content = f"#include-once\n{url}\n".encode()
    return Part(content_type="text/x-include-once-url", content=content, filename="innkeeper-include")


def _meta_data(source: CloudInitInput) -> str:
    """Returns the metadata with the SSH keys, which no cloud-config of a user can remove here."""
    about = {"instance-id": source.instance_id, "local-hostname": source.fqdn, "public-keys": list(source.ssh_keys)}
    return json.dumps(about, indent=2, ensure_ascii=False)


def _our_parts(source: CloudInitInput, users_parts: Iterable[Part]) -> list[Part]:
    # `localhost` adds "127.0.1.1 FQDN HOSTNAME" to /etc/hosts and keeps the rest, so that `hostname -f` works.
    ours: dict[str, Any] = {"ssh_authorized_keys": list(source.ssh_keys), "manage_etc_hosts": "localhost"}
    parts = [_part("innkeeper-settings", {**ours, **source.additions}, _APPENDED)]
    if any(map(_may_set_users, users_parts)):
        # cloud-init gives the keys to the image's default user, which it creates only if `users`, a list or a map,
        # names it. Without `users` in the user's data, the image's own list counts, and must not be replaced.
        parts += [
            _part("innkeeper-default-user", {"users": ["default"]}, _APPENDED),
            _part("innkeeper-default-user-map", {"users": {"default": True}}, "dict(no_replace)"),
        ]
    return [*parts, _part("innkeeper-report", {**_names(source), **_report(source)}, "dict(replace)")]


def _may_set_users(part: Part) -> bool:
    if part.content_type.startswith(_NEVER_CLOUD_CONFIG):
        return False
    return part.content_type.startswith(_UNREADABLE) or b"users" in part.content


def _names(source: CloudInitInput) -> dict[str, Any]:
    return {"hostname": source.hostname, "fqdn": source.fqdn, "preserve_hostname": False}


def _report(source: CloudInitInput) -> dict[str, Any]:
    if source.report_url is None:
        return {}
    tries = min(MAX_TRIES, max(MIN_TRIES, int(source.report_within_s / _SECONDS_A_TRY)))
    return {"phone_home": {"url": source.report_url, "post": ["instance_id", "hostname", "fqdn"], "tries": tries}}


def _part(filename: str, config: Mapping[str, Any], merge_type: str) -> Part:
    text = "#cloud-config\n" + json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    return Part(
        content_type="text/cloud-config",
        content=text.encode(),
        filename=filename,
        headers=(("Merge-Type", merge_type),),
    )
