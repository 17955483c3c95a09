"""Messages of a new host whose server knows an Innkeeper already. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from common.values import Guest
from common.words.phrases import number_of
from common.words.product_commands import ProductCommands

TRUSTED_ALREADY, OF_OTHER_INSTALLATION = "host_trusted_already", "host_of_other_installation"  # kinds of events
_NAMED = 5  # guests, in one message


def trusted_already(host_name: str, commands: ProductCommands, *, imported: bool) -> str:
    """Returns the message of a host whose server trusts our certificate although it was given a token or password."""
    shared = (
        "The certificate was imported: whoever else has it, such as another region, loses access when it is removed on "
        f"the server. To get one of its own: innkeeper vm-host rotate {host_name}"
        if imported
        else f"If nobody knows why, have a new certificate made: innkeeper vm-host rotate {host_name}"
    )
    return (
        f"The server of {host_name} trusts Innkeeper's certificate already, so the token or password was not sent. A "
        f"token stays valid until it expires; to revoke it, run on the server: {commands.client} config trust "
        f"revoke-token NAME. {shared}"
    )


def of_other_installations(host_name: str, guests: Iterable[Guest], installation_id: UUID) -> tuple[str, ...]:
    """Returns a message for each other installation whose marker a guest of the host has."""
    found: dict[UUID, list[str]] = {}
    for guest in guests:
        if guest.marker is not None and guest.marker.installation_id != installation_id:
            found.setdefault(guest.marker.installation_id, []).append(guest.name)
    return tuple(_of_other(host_name, other, sorted(names)) for other, names in sorted(found.items()))


def _of_other(host_name: str, other: UUID, names: list[str]) -> str:
    more = "" if len(names) <= _NAMED else f" and {len(names) - _NAMED} more"
    return (
        f"{host_name} has {number_of(len(names), 'VM')} of another Innkeeper installation ({other}): "
        f"{', '.join(names[:_NAMED])}{more}. They are foreign here: shown and counted, never changed. Both "
        "installations can use the server. If the other one is gone, adopt them, and remove its certificate from the "
        f"server's trust list: innkeeper vm-host adopt {host_name} guests={names[0]}"
    )
