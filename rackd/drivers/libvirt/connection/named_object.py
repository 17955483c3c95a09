"""An object of libvirt whose errors name it, and the part of the connection that its wrappers use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeVar

from rackd.drivers.libvirt.connection.test_driver import DomainStats

T = TypeVar("T")


class Connection(Protocol):
    """The part of a connection that its wrappers use."""

    is_test: bool
    connection: Any

    def call(self, what: str, function: Callable[..., T], *arguments: object) -> T: ...

    def stats_of(self, domain: Any) -> DomainStats: ...


class NamedObject:
    """An object of libvirt, whose errors name it as `noun` and its name."""

    noun: ClassVar[str]

    def __init__(self, client: Connection, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()

    def _call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        return self._client.call(f"{what} the {self.noun} {self.name}", function, *arguments)
