"""Names and addresses that the region chooses before anything is made, so that a repeat finds its own work."""

from __future__ import annotations

import re
import secrets
from uuid import UUID

from common.errors import InvalidRequest

_ADJECTIVES = [
    "amber",
    "ample",
    "brisk",
    "calm",
    "clever",
    "crisp",
    "early",
    "eager",
    "fair",
    "fleet",
    "fond",
    "gentle",
    "glad",
    "golden",
    "grand",
    "hardy",
    "honest",
    "humble",
    "ideal",
    "jolly",
    "keen",
    "kind",
    "lively",
    "loyal",
    "lucid",
    "mellow",
    "merry",
    "mild",
    "neat",
    "noble",
    "open",
    "patient",
    "plain",
    "prime",
    "proud",
    "quick",
    "quiet",
    "ready",
    "robust",
    "royal",
    "sharp",
    "silent",
    "smooth",
    "snug",
    "solid",
    "spry",
    "stable",
    "steady",
    "still",
    "stout",
    "sunny",
    "swift",
    "tidy",
    "true",
    "vivid",
    "warm",
    "wise",
]
_ANIMALS = [
    "badger",
    "beaver",
    "bison",
    "bream",
    "carp",
    "civet",
    "condor",
    "coot",
    "crane",
    "curlew",
    "dace",
    "dingo",
    "dove",
    "eider",
    "ermine",
    "falcon",
    "ferret",
    "finch",
    "fox",
    "gannet",
    "gecko",
    "grebe",
    "heron",
    "hoopoe",
    "ibex",
    "ibis",
    "jay",
    "kestrel",
    "kite",
    "lark",
    "lemur",
    "linnet",
    "lynx",
    "marten",
    "mole",
    "newt",
    "ocelot",
    "osprey",
    "otter",
    "owl",
    "perch",
    "pika",
    "plover",
    "puffin",
    "quail",
    "raven",
    "robin",
    "salmon",
    "seal",
    "shrew",
    "siskin",
    "stoat",
    "stork",
    "swan",
    "tapir",
    "teal",
    "tern",
    "vole",
    "weasel",
    "wombat",
    "wren",
    "yak",
]
_SYSTEM_ID = "abcdefghkmnpqrstwxy346780"  # no letter or digit that is easily taken for another
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)


def new_hostname() -> str:
    """Two words, of some thousands; when one is taken, the caller tries again or adds a number."""
    adjective, animal = divmod(secrets.randbelow(len(_ADJECTIVES) * len(_ANIMALS)), len(_ANIMALS))
    return f"{_ADJECTIVES[adjective]}-{_ANIMALS[animal]}"


def numbered(hostname: str) -> str:
    return f"{hostname}-{secrets.randbelow(9000) + 1000}"


def new_system_id() -> str:
    number = secrets.randbelow(len(_SYSTEM_ID) ** 6)  # the system is asked once for all six
    return "".join(_SYSTEM_ID[number // len(_SYSTEM_ID) ** place % len(_SYSTEM_ID)] for place in range(6))


def new_mac_address() -> str:
    """In QEMU's own range; unique by a constraint of the database."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def serial(machine: UUID, index: int) -> str:
    """The serial number of a disk, stable and unique: at most 18 of virtio's 20 characters."""
    return f"ik{machine.hex[:12]}-{index}"


def check_hostname(hostname: str) -> str:
    """One DNS label, lower case. Raises InvalidRequest with the field `hostname`."""
    if _LABEL.fullmatch(hostname) is None:
        raise InvalidRequest.of(
            {"hostname": [f"{hostname!r} is no host name: 1 to 63 letters, digits and inner hyphens."]}
        )
    return hostname.lower()


def legal_hostname(name: str) -> str:
    """A guest's name as a host name: kept where it is one, otherwise with hyphens for what may not be there.

    A name of which nothing is left gets a new one.
    """
    if _LABEL.fullmatch(name) is not None:
        return name.lower()
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or new_hostname()
