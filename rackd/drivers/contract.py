"""What every driver promises. One contract suite (tests/contract/) holds all of them to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from common.discovery import Discovery, VolumeRef
from common.values import (
    Guest,
    GuestChange,
    GuestRef,
    GuestSpec,
    HostAccess,
    Mark,
    PeerIdentity,
    PowerAction,
    PowerState,
    Project,
)


class Driver(Protocol):
    """One host, called from the threads of its lane, one call at a time.

    Any method may raise HostUnreachable (try again later), NotTrusted or PeerChanged (a person must act), or
    DriverFailed (the hypervisor said no; its words are in the message). Nothing but our marked guests is ever changed.
    """

    def reach(self) -> str:
        """The hypervisor's version, in one cheap call."""

    def discover(self) -> Discovery:
        """Facts of the host and of all its guests. Reads only; the number of calls does not grow with the guests.

        Where a hypervisor tells pins and cards of one guest at a time, that is asked once for each new guest, and
        again when it may have changed; a guest of which it could not be found out (yet) is not `fully_told`, and a
        Problem says why. A guest that cannot be read at all is a Problem, and the rest is returned.

        `unused_volumes` are those named after a mark that no guest of any project has, in one call for each storage
        pool. Where it is not known of every guest what it has, or a pool cannot be listed, nothing is told of them.
        """

    def compose(self, spec: GuestSpec) -> Guest:
        """The guest that carries `spec.mark`, made or finished, switched off. Calling again is harmless.

        Raises NameTaken when a guest without that mark has the name, OutOfCapacity when a pool has no room or huge
        pages are too few, NotFound naming a storage pool, network or core that is not there (any more), Unsupported
        for what this hypervisor cannot do, WrongState when the host keeps an address for somebody else. On failure
        everything it made is removed again, as far as the host lets it.
        """

    def decompose(
        self, guest: GuestRef, volumes: tuple[tuple[str, str], ...] = (), mac_addresses: tuple[str, ...] = ()
    ) -> None:
        """Return once the guest and the volumes made for it are gone. A guest that is gone already is success.

        `volumes` are (pool_id, volume) pairs given at compose. Removes nothing that was not made by `compose`: disks
        attached later, shared volumes and ISO images stay, and so do the disks of a guest that was adopted, as far as
        the hypervisor can keep a disk without its guest.

        `mac_addresses` are those of cards that were made at compose: addresses that the hypervisor keeps for them are
        given back also when the guest itself went in another way.
        """

    def remove_volumes(self, mark: Mark, volumes: Iterable[VolumeRef]) -> None:
        """Return once those of `volumes` that are named after `mark` are gone. Gone already is success.

        No guest is touched, whatever its mark is: a volume that a guest has, or that another volume is made on, stays,
        and when the others are gone WrongState names it.
        """

    def power(self, guest: GuestRef, action: PowerAction, *, grace_s: float) -> PowerState:
        """Return the new state once the hypervisor reports it. NotFound when the guest is gone.

        OFF asks the guest first and pulls the plug after `grace_s`. Already being in that state is success.
        """

    def find(self, guest: GuestRef) -> Guest | None:
        """The guest that carries the mark, whatever its name is now, or None when the host has none."""

    def adopt(self, guest_id: str, name: str, mark: Mark) -> Guest:
        """Put the mark on a foreign guest and change nothing else of it, running or not. Calling again is harmless.

        `guest_id` says which guest, `name` only helps to find it. On libvirt `mark.machine_id` is the domain's own
        UUID. Raises NotFound, and NameTaken when the guest carries another mark, or another guest carries this one.
        """

    def disown(self, guest_id: str, name: str, mark: Mark, *, exactly: bool = False) -> None:
        """Take this mark off the guest that carries it and change nothing else.

        A guest that is gone, or that does not carry this mark, is success. With `exactly` only the guest with that id
        and name is meant, whoever else carries the mark; NotFound when there is none such, or with another mark.
        """

    def projects(self) -> tuple[Project, ...]:
        """The projects of the host with what their guests were given; empty where there is no such thing."""

    def make_project(self, description: str) -> None:
        """The project of this host exists afterwards. Raises Unsupported where there is no such thing."""

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        """The host trusts this certificate afterwards. Raises NotTrusted with the reason; Unsupported elsewhere.

        With a trust token, the server's certificate is held against the token's fingerprint before it is sent.
        Another certificate than our own is added with the help of our own. One that is restricted to projects can add
        none: it is exchanged for the other, and is not trusted itself any more.
        """

    def untrust(self, fingerprint: str) -> None:
        """The host does not trust that certificate (SHA-256, hex) any more; harmless when it never did."""

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        """Call `notify`, from any thread, at each change of a guest until the returned function is called.

        After a gap (a reconnect) it sends one RESYNC.
        """

    def close(self) -> None:
        """Let go of connections, files in memory and threads. Harmless to repeat."""


class Opening(Protocol):
    """How a driver type comes to life; `rackd/drivers/registry.py` holds one for each type."""

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        """What the host's end of the line presents, without logging in; None where there is nothing to pin."""

    def open(self, access: HostAccess) -> Driver:
        """A driver for this host. May block for as long as the host does; the executor gives up on it."""
