"""Generates hostnames, system ids, MAC addresses and serial numbers; rules for names and texts."""

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
MAX_NAME = 256
NAME_PATTERN = r"\w[\w -]*"  # of zones, resource pools, fabrics, VLANs and spaces
NUL_NOT_ALLOWED = "The NUL character is not allowed."
NAME_PREFIX = "name:"
ID_PREFIX = "id:"
ROW_ID_MAX = 2**31 - 1
_ROW_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
MAAS_SYSTEM_ID = "34678abcdefghkmnpqrstwxy"  # the characters of MAAS's ids: none that is easily confused with another
# At least one of these is in each new id. A proxy in front of a region and a MAAS knows by it whose an id is; changing
# them changes the examples in docs/examples/drop-in-address, too.
OWN_SYSTEM_ID = "029"
_SYSTEM_ID = MAAS_SYSTEM_ID + OWN_SYSTEM_ID
_OF_HOST = "h"  # how the system ids of VM hosts begin
_NUMBERED = re.compile(r"(.+)-(0|[1-9][0-9]{0,8})", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)


def new_hostname() -> str:
    """Returns two words such as `calm-otter`. If the name is taken, the caller retries or uses `numbered`."""
    adjective, animal = divmod(secrets.randbelow(len(_ADJECTIVES) * len(_ANIMALS)), len(_ANIMALS))
    return f"{_ADJECTIVES[adjective]}-{_ANIMALS[animal]}"


def numbered(hostname: str) -> str:
    """Returns the hostname with a random number of four digits appended."""
    return f"{hostname}-{secrets.randbelow(9000) + 1000}"


def numbered_names(hostname: str | None, count: int) -> tuple[str, ...]:
    """Returns the names of `count` machines: `web-1`, `web-2` and so on of `web`, `web-7`, `web-8` of `web-7`.

    One machine has the name itself; without a name there is none.
    """
    if hostname is None:
        return ()
    if count == 1:
        return (hostname,)
    found = _NUMBERED.fullmatch(hostname)
    stem, first = (found[1], int(found[2])) if found else (hostname, 1)
    return tuple(f"{stem}-{number}" for number in range(first, first + count))


def new_system_id() -> str:
    """Returns six random letters and digits; the database checks uniqueness.

    They are never in the form of a VM host's id, nor of an id of MAAS, which imported machines keep.
    """
    while (found := _random_id(6)).startswith(_OF_HOST):
        pass
    return found


def new_host_system_id() -> str:
    """Returns six letters and digits for a VM host. No machine has such an id: clients also read hosts as machines."""
    return _OF_HOST + _random_id(5)


def _random_id(length: int) -> str:
    while not set(OWN_SYSTEM_ID).intersection(found := [secrets.choice(_SYSTEM_ID) for _ in range(length)]):
        pass
    return "".join(found)


def new_mac_address() -> str:
    """Returns a random address in the range of QEMU; the database checks that it is unique."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def serial(machine: UUID, index: int) -> str:
    """Returns the serial number of a disk: stable, unique, at most 18 of the 20 characters that virtio allows."""
    return f"ik{machine.hex[:12]}-{index}"


def is_name(text: str) -> bool:
    """Returns whether a zone, resource pool, fabric, VLAN or space of up to MAX_NAME characters can have this name."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def findable(name: str) -> str:
    """Returns the name to look up, with NUL replaced: PostgreSQL rejects NUL, and no name has the replacement."""
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}")


def storable(text: str) -> str:
    """Returns the text without what PostgreSQL cannot store: hypervisors quote NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def split_reference(text: str) -> tuple[str | None, str | None]:
    """Returns the id and the name that the text may be: `7` is either, `id:7` only an id, `name:7` only a name."""
    if text.startswith(NAME_PREFIX):
        return None, text.removeprefix(NAME_PREFIX)
    if text.startswith(ID_PREFIX):
        return text.removeprefix(ID_PREFIX), None
    return text, text


def check_hostname(hostname: str) -> str:
    """Returns the hostname, one DNS label, in lower case. Raises InvalidRequest for the field `hostname`."""
    if _LABEL.fullmatch(hostname) is None:
        raise InvalidRequest.of(
            {"hostname": [f"{hostname!r} is not a valid hostname: use 1 to 63 letters, digits and inner hyphens."]}
        )
    return hostname.lower()


def legal_hostname(name: str) -> str:
    """Converts the name of a guest to a valid hostname: hyphens replace other characters.

    Returns a generated name if no character remains.
    """
    if _LABEL.fullmatch(name) is not None:
        return name.lower()
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or new_hostname()


def as_id(text: str, *, largest: int = ROW_ID_MAX) -> int | None:
    """Returns the id that the text is, or None."""
    return int(text) if _ROW_ID.fullmatch(text) is not None and int(text) <= largest else None
