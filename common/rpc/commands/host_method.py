"""Commands that a rack carries out by one call of a method of the host's driver."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from attrs import field, fields, frozen

from common.rpc.commands.command import Command, Done

Q = TypeVar("Q")
R = TypeVar("R")
_NOT_FOR_THE_DRIVER = ("access", "fence")


class CallClass(StrEnum):
    """Classes of calls to a host. In a rack, each has its own slots: one, unless noted otherwise."""

    ORDERED = "ordered"  # all changes of the host, and discovery
    QUICK = "quick"  # short reads: use the ordered slot while it is idle
    LONG_RUNNING = "long_running"  # copies, or waits for a guest's own shutdown: several slots
    WATCH = "watch"  # events, which must survive an abandoned call
    CONSOLE = "console"  # opens consoles, which must survive too
    USAGE = "usage"  # reads counters every few seconds, and delays no other call


@frozen
class HostMethod(Command[Q, R]):
    """The command `host.NAME`, which a rack carries out by the method NAME of the host's driver.

    The fields of the request, without `access` and `fence`, are the arguments; a request that has `fence` is fenced.
    The reply is the method's result, or has it as its first field; it is Done for a method without one. `what` names
    the call in errors, logs and metrics of the rack; by default, as the method.
    """

    what: str = field(kw_only=True)
    call_class: CallClass = field(default=CallClass.ORDERED, kw_only=True)

    @what.default
    def _named_as_the_method(self) -> str:
        return self.method.replace("_", " ")

    @property
    def method(self) -> str:
        return self.name.removeprefix("host.")

    @property
    def is_fenced(self) -> bool:
        return "fence" in _fields_of(self.request)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the method's arguments."""
        return tuple(name for name in _fields_of(self.request) if name not in _NOT_FOR_THE_DRIVER)

    def reply_of(self, result: Any) -> R:
        """Returns the reply of a call whose method returned `result`."""
        if isinstance(result, self.reply):
            return result
        return self.reply() if self.reply is Done else self.reply(**{_fields_of(self.reply)[0]: result})


def _fields_of(value: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(value))
