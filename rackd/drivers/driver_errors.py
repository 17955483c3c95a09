"""Errors that all drivers raise with the same message."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import structlog

from common.errors import DriverFailed, NotFound, OutOfCapacity, Unsupported, WrongState
from common.values import GuestRef, OwnershipMarker

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D", bound=type[Any])

# What code raises that reads an answer of another form than the hypervisor documents.
MISREAD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def checks_answers(driver: D) -> D:
    """A class decorator: each public method raises DriverFailed for an answer of a form that it does not know.

    A hypervisor that sends such answers fails its own calls, and machines are composed on other hosts. As the cause can
    also be a bug of the driver, the log has the traceback.
    """
    for name, method in tuple(vars(driver).items()):
        if not name.startswith("_") and callable(method):
            setattr(driver, name, _checked(method))
    return driver


def _checked(method: Callable[P, T]) -> Callable[P, T]:
    @wraps(method)
    def checked(*args: P.args, **named: P.kwargs) -> T:
        try:
            return method(*args, **named)
        except MISREAD as error:
            log.warning("answer_misread", call=method.__name__, exc_info=error)
            raise DriverFailed(
                f"The host gave an answer that Innkeeper cannot read, to '{method.__name__}': "
                f"{type(error).__name__}: {str(error)[:200]}. The rack's log shows where."
            ) from error

    return checked


@contextmanager
def after_power_action(guest: GuestRef) -> Iterator[None]:
    """Logs that the host could not set autostart: the power action has happened, and a discovery run finds the rest."""
    try:
        yield
    except (DriverFailed, OutOfCapacity) as error:
        log.warning("autostart_not_set", guest=guest.name, reason=str(error))


def reject_volumes_in_use(used: Mapping[tuple[str, str], Collection[str]]) -> None:
    """Raises WrongState unless `used` is empty. It maps (storage pool, volume) to the users' names."""
    if used:
        texts = [f"{name} in {pool} (by {', '.join(sorted(users))})" for (pool, name), users in sorted(used.items())]
        raise WrongState(
            f"Volumes in use were not deleted: {'; '.join(texts)}.", volumes=[name for _, name in sorted(used)]
        )


def required_guest(found: T | None, guest: GuestRef) -> T:
    """Returns `found`, the machine's guest. Raises NotFound if it is None."""
    if found is None:
        raise machine_not_found(guest)
    return found


def machine_not_found(guest: GuestRef) -> NotFound:
    return NotFound(
        f"The host has no guest {guest.name} with the marker of machine {guest.marker.machine_id}.", name=guest.name
    )


def disk_not_found(guest: str, volume: str, volumes: Iterable[str | None]) -> NotFound:
    """`volumes` are those of the disks that the guest has."""
    known = ", ".join(sorted(filter(None, volumes))) or "none"
    return NotFound(f"The guest {guest} has no disk {volume} any more; it has {known}.", volume=volume)


def unsupported_by(kind: str, what: str, *, remedy: str = "") -> Unsupported:
    """`kind` is the name of the hypervisor, `what` something that it has not."""
    return Unsupported(f"Hosts of {kind} have no {what}.{remedy}")


def only_whole_disks() -> Unsupported:
    return Unsupported("This host takes the content of a disk only as a whole.")


def only_parts_of_disks() -> Unsupported:
    return Unsupported("The disks of this host are written in parts, not as a whole.")


def guest_is_off(guest: GuestRef) -> WrongState:
    return WrongState(f"{guest.name} is off: it has a console once it is started.", name=guest.name)


def screen_is_off(guest: GuestRef) -> WrongState:
    return WrongState(f"{guest.name} is off: it has a screen once it is started.", name=guest.name)


def guest_not_found(name: str, marker: OwnershipMarker) -> NotFound:
    return NotFound(
        f"The host has no guest {name} with that id and the marker of machine {marker.machine_id}.", name=name
    )
