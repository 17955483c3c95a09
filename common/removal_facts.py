"""Facts on the deletion of a guest: what goes along, what stays, and what forbids it."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class RemovalFacts:
    """Facts on the end of a guest that a driver knows, besides its disks.

    `snapshots` are names; the hypervisor deletes them with the guest, and `saved_memory`, from which the guest would
    start. `shared_volumes` (POOL/VOLUME) are disks that stay, because another guest or another image needs them;
    `layers` are paths of images that stay, such as of external snapshots: they were not made by Innkeeper. `protection`
    says why the host refuses to delete the guest, and what ends that, in whole sentences. A guest that is
    `deleted_when_off` is deleted by its host, with its disks, as soon as it is powered off, unless it is made permanent
    (`permanence` is the command).

    To give a guest another content of its root disk, some hypervisors delete its snapshots
    (`snapshots_end_with_root_disk`), or the guest itself: then `root_disk_protection` has the protection, too.
    """

    snapshots: tuple[str, ...] = ()
    saved_memory: bool = False
    shared_volumes: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    protection: str = ""
    deleted_when_off: bool = False
    permanence: str = ""
    snapshots_end_with_root_disk: bool = False
    root_disk_protection: str = ""


NO_REMOVAL_FACTS = RemovalFacts()
