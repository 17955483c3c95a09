"""The words of certificates and credentials that expire soon, or have expired. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from attrs import evolve

from common.words.messages import counted_message, joined, marked, message
from common.words.product_commands import commands_of
from regiond.attention.model import AttentionKind, Found, ObjectType, Words

_CERTIFICATES: Mapping[ObjectType, str] = {
    ObjectType.RACK: marked(
        "A rack renews its certificate while it is connected. Once it has expired, the rack joins with a new token."
    ),
    ObjectType.REGION: marked("Replace the files that tls_certificate and tls_key name."),
}


def certificate(found: Found, now: datetime) -> Words:
    if found.object_type is not ObjectType.HOST:
        return _expiring(found, now, message(_CERTIFICATES[found.object_type]))
    expires_at = _expires_at(found)
    time = _minute(expires_at)
    remedy = message("Rotate its credentials in its settings.")
    if found.broken:
        cause = message("They were valid until {time}; nothing accepts them any more.", time=time)
        return Words(what=message("has credentials that have expired"), cause=cause, remedy=remedy)
    return Words(
        what=message("has credentials that expire in {span}", span=_span(expires_at - now)),
        cause=message("They are valid until {time}.", time=time),
        remedy=remedy,
    )


def server_certificate(found: Found, now: datetime) -> Words:
    commands = commands_of(found.facts["product"])
    renew = (
        message(
            "Run on a member of the cluster: {client} cluster update-certificate CERTIFICATE KEY.",
            client=commands.client,
        )
        if found.facts["in_cluster"]
        else message(
            "Replace server.crt and server.key in the folder of {product} on the server, and restart {product}.",
            product=commands.product,
        )
    )
    remedy = joined(renew, message("Then accept the new fingerprint on the host's page."))
    words = _expiring(found, now, remedy)
    if found.broken:
        return evolve(words, what=message("presents a certificate that has expired"))
    span = _span(_expires_at(found) - now)
    return evolve(words, what=message("presents a certificate that expires in {span}", span=span))


def client_certificate(found: Found, now: datetime) -> Words:
    if found.broken:
        return _expiring(found, now, message("Issue a new one with the same name, or revoke it."))
    return _expiring(found, now, message("Start its program: it renews the certificate while it is connected."))


def _expiring(found: Found, now: datetime, remedy: str) -> Words:
    expires_at = _expires_at(found)
    time = _minute(expires_at)
    if found.broken:
        cause = (
            message("It was valid until {time}; nothing accepts it any more.", time=time)
            if found.kind is AttentionKind.CERTIFICATE_EXPIRING
            else message("It was valid until {time}.", time=time)
        )
        return Words(what=message("has a certificate that has expired"), cause=cause, remedy=remedy)
    return Words(
        what=message("has a certificate that expires in {span}", span=_span(expires_at - now)),
        cause=message("It is valid until {time}.", time=time),
        remedy=remedy,
    )


def _expires_at(found: Found) -> datetime:
    at = found.facts["expires_at"]
    return datetime.fromisoformat(at) if isinstance(at, str) else at


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _span(left: timedelta) -> str:
    days, hours = left.days, int(left.total_seconds() // 3600)
    if days >= 2:
        return counted_message("{n} day", "{n} days", days)
    return counted_message("{n} hour", "{n} hours", max(hours, 1))
