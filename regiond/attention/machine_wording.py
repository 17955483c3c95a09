"""The words of VMs that are missing, cannot start, are off or failed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.words.messages import counted_message, message
from regiond.attention.model import Found, Words, sentence

_SHOWN_VOLUMES = 3


def host_of(found: Found) -> str:
    return found.host_name or message("its host")


def missing(found: Found, _: datetime) -> Words:
    host = host_of(found)
    return Words(
        what=message("is missing from {host}", host=host),
        cause=message("The last refresh of {host} did not list it.", host=host),
        remedy=message("Bring it back on the host and refresh the host, or delete it here."),
    )


def volume_missing(found: Found, _: datetime) -> Words:
    volumes = found.facts["volumes"]
    return Words(
        what=message("cannot start again") if found.facts["power_state"] == "on" else message("cannot start"),
        cause=counted_message(
            "{host} no longer has the volume {volumes}.",
            "{host} no longer has the volumes {volumes}.",
            len(volumes),
            host=host_of(found),
            volumes=_first_of(volumes),
        ),
        remedy=message("Restore it from a backup under the same name, then refresh the host; or delete the VM."),
    )


def _first_of(volumes: Sequence[str]) -> str:
    shown, more = ", ".join(volumes[:_SHOWN_VOLUMES]), len(volumes) - _SHOWN_VOLUMES
    if more <= 0:
        return shown
    return counted_message("{shown} and {n} more", "{shown} and {n} more", more, shown=shown)


def should_run(found: Found, _: datetime) -> Words:
    host, facts = host_of(found), found.facts
    cause: str
    if facts["unclear"]:
        cause = message("It went off with {host}, or somebody stopped it there: that cannot be known.", host=host)
    elif facts["moved"]:
        cause = message(
            "It ran before its cluster moved it to {host}. Nothing starts it: the member that it left may run it.",
            host=host,
        )
    elif facts["tries"]:
        cause = sentence(facts["error"], message("Innkeeper tried to start it."))
    elif facts["maintenance"]:
        cause = message("It ran before {host} was away. {host} is in maintenance, so nothing starts it.", host=host)
    elif not facts["autostart"]:
        cause = message("It ran before {host} was away, and does not start with its host.", host=host)
    else:
        cause = message("It ran before {host} was away. Innkeeper has not started it yet.", host=host)
    accept = f"innkeeper machine accept-off {found.object_id}"
    return Words(
        what=message("should run, but is off"),
        cause=cause,
        remedy=message("Start it, or accept on its page that it is off, or with: {command}.", command=accept),
    )


def broken(found: Found, _: datetime) -> Words:
    cause = sentence(found.facts["error"], message("No reason was given."))
    return Words(what=message("is marked broken"), cause=cause, remedy=message("Repair it, then mark it fixed."))


def failed_deployment(found: Found, _: datetime) -> Words:
    return Words(
        what=message("failed to deploy"),
        cause=sentence(found.facts["error"]),
        remedy=message("Its page has the last lines of its console. Release it to deploy it again."),
    )


def failed_compose(found: Found, _: datetime) -> Words:
    return Words(
        what=message("was not created"),
        cause=sentence(found.facts["error"]),
        remedy=message("Delete it here, and compose it again where there is room."),
    )


def failed(found: Found, _: datetime) -> Words:
    return Words(
        what=message("was released but not deleted"),
        cause=sentence(found.facts["error"], message("{host} did not delete it.", host=host_of(found))),
        remedy=message("Delete it once its host can be reached."),
    )
