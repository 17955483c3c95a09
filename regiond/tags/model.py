"""Tags: values and the rules for their names."""

from __future__ import annotations

import re

from attrs import frozen

from common.errors import InvalidRequest
from common.words.phrases import number_of

MAX_NAME = 256
NAME_PATTERN = "[A-Za-z0-9_-]+"
_NAME = re.compile(NAME_PATTERN)
_OF_ALL_HOSTS = "pod-console-logging"  # every VM host has it, see `regiond.hosts.model.CONSOLE_TAG`


@frozen(kw_only=True)
class Tag:
    """`definition` and `kernel_opts` are stored for clients and have no effect."""

    name: str
    comment: str = ""
    definition: str = ""
    kernel_opts: str = ""


@frozen(kw_only=True)
class TagChange:
    """None: unchanged."""

    name: str | None = None
    comment: str | None = None
    definition: str | None = None
    kernel_opts: str | None = None


@frozen(kw_only=True)
class TaggedNodes:
    """The numbers of machines and VM hosts that a request named, whether they had the tag or not."""

    added: int
    removed: int


@frozen(kw_only=True)
class TagUsers:
    """The numbers of machines and VM hosts that lost a tag."""

    machines: int
    hosts: int

    def __str__(self) -> str:
        """Such as `3 machines and 1 VM host`; empty without any."""
        counts = ((self.machines, "machine"), (self.hosts, "VM host"))
        return " and ".join(number_of(count, name) for count, name in counts if count)


def check_name(name: str) -> None:
    """Raises InvalidRequest for a name that a new tag cannot have."""
    if len(name) > MAX_NAME:
        raise InvalidRequest.of({"name": [f"At most {MAX_NAME} characters are allowed; this name has {len(name)}."]})
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest.of({"name": ["Only letters of ASCII, digits, underscores and hyphens are allowed."]})


def check_removable(name: str) -> None:
    """Raises InvalidRequest for the tag that every VM host has."""
    if name == _OF_ALL_HOSTS:
        raise InvalidRequest(f"Every VM host has the tag {name}: it can be neither renamed nor deleted.")
