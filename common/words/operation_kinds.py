"""Kinds of operations, and all that is said of each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen

from common.words.messages import marked


class OperationKind(StrEnum):
    COMPOSE = "compose"
    POWER = "power"
    DELETE = "delete"  # removes a machine's guest, then the machine
    ALLOCATE = "allocate"  # of a ready machine: succeeds in the transaction that opens it
    RELEASE = "release"  # powers a machine off, then clears its owner
    REFRESH = "refresh"
    REMOVE_HOST = "remove_host"
    ROTATE = "rotate_credentials"  # replaces the key pair of an LXD server
    ADOPT = "adopt"  # adds the ownership marker to a foreign guest and creates its machine
    FORGET = "forget"  # removes the ownership marker, then the machine; the guest stays
    CLEAN_UP = "clean_up"  # removes the guest of a deleted or rescheduled machine
    DEPLOY = "deploy"  # writes an operating system to a machine's root disk, and waits until the guest reports
    SET_AUTOSTART = "set_autostart"  # sets whether a guest starts with its host
    SET_BOOT_DISK = "set_boot_disk"  # sets the disk from which a guest boots first
    SET_BOOT = "set_boot"  # sets the order in which a guest tries its devices
    SET_START_ORDER = "set_start_order"  # sets when a guest starts with its host
    INSERT_ISO = "insert_iso"  # puts an ISO image into the drive of a guest
    EJECT_ISO = "eject_iso"
    RESIZE = "resize"  # changes the cores and memory of a guest
    ADD_DISK = "add_disk"  # creates a disk, or takes a kept one, and gives it to a guest
    GROW_DISK = "grow_disk"  # makes a disk of a guest larger
    REMOVE_DISK = "remove_disk"  # takes a disk from a guest; its volume is deleted or kept
    MOVE_DISK = "move_disk"  # moves a disk of a guest to another storage pool of its host
    EXPORT = "export"  # writes the disks and the description of a guest that is off to a file of the region
    ADD_NIC = "add_nic"  # gives a guest another NIC
    CHANGE_NIC = "change_nic"  # gives a NIC of a guest another network or MAC address
    REMOVE_NIC = "remove_nic"  # takes a NIC from a guest
    IMPORT = "import"  # brings what a MAAS knew: networks, users, hosts and machines
    REGISTER = "register_in_maas"  # creates the record of a machine in a MAAS, which switches the machine from then on
    UNREGISTER = "unregister_from_maas"  # deletes that record; the machine may be gone
    BULK = "bulk"  # opens an operation for each of many machines, a few at a time

    @classmethod
    def stored(cls, text: str) -> OperationKind:
        """Returns the kind of a row. One of a newer release, whose regions run it, is equal to none of these."""
        if text in cls._value2member_map_:
            return cls(text)
        newer = str.__new__(cls, text)
        newer._name_, newer._value_ = text, text
        return newer


@frozen(kw_only=True)
class KindWords:
    """Words for people. `does` follows `operation 7, which`; `verb` precedes a name, and `title` has it.

    `kind` is the kind without a name, if that is not `verb`. `steps` and `events` are those that only it has, or it
    first: the events in the plural, as of a group. `page` is the tab or form of a VM from which it is asked for again;
    with `for_administrators`, nobody else may ask.
    """

    does: str
    verb: str
    title: str
    kind: str = ""
    steps: Mapping[str, str] = field(factory=dict)
    events: Mapping[str, str] = field(factory=dict)
    page: str = ""
    for_administrators: bool = False


KIND_WORDS: Mapping[OperationKind, KindWords] = {
    OperationKind.COMPOSE: KindWords(
        does=marked("composes {machine} on {host}"), verb=marked("Compose"), title=marked("Compose {name}"),
        steps={
            "check_file": marked("compare the file with its hashes"), "compose_on_host": marked("compose on host"),
            "copy_guest": marked("copy the disks"), "make_bootable": marked("make the VM boot from its disk"),
            "power_on": marked("power on"), "prepare_image": marked("write an image of the disk"),
            "release_claims": marked("release claims"), "remove_incomplete_guest": marked("remove incomplete guest"),
            "reserve_addresses": marked("reserve addresses"), "set_addresses": marked("set addresses"),
            "write_disk": marked("write disk"),
        },
        events={
            "machine_composed": marked("VMs composed"), "compose_failed": marked("composes failed"),
            "compose_rescheduled": marked("composes moved to another host"),
        },
    ),
    OperationKind.POWER: KindWords(
        does=marked("changes the power of {machine} on {host}"), verb=marked("Power"), title=marked("Power {name}"),
        steps={
            "power_cycle": marked("power cycle"), "power_force_off": marked("power force off"),
            "power_off": marked("power off"), "set_generation": marked("record the use on the host"),
            "generation_written": marked("use recorded on the host"),
        },
        events={"power_changed": marked("changes of power")},
    ),
    OperationKind.DELETE: KindWords(
        does=marked("deletes {machine} from {host}"), verb=marked("Delete"), title=marked("Delete {name}"),
        steps={"remove_guest": marked("remove guest")},
        events={"machine_deleted": marked("VMs deleted"), "delete_failed": marked("deletions failed")},
        page="delete",
    ),
    OperationKind.ALLOCATE: KindWords(
        does=marked("allocates {machine}"), verb=marked("Allocate"), title=marked("Allocate {name}"),
        events={"machine_allocated": marked("VMs allocated")},
    ),
    OperationKind.RELEASE: KindWords(
        does=marked("releases {machine} on {host}"), verb=marked("Release"), title=marked("Release {name}"),
        steps={
            "empty_disks": marked("empty disks"), "erase": marked("erase"), "restore_links": marked("restore links"),
            "shut_down": marked("shut down"),
        },
        events={"machine_released": marked("VMs released"), "release_failed": marked("releases failed")},
        page="release",
    ),
    OperationKind.REFRESH: KindWords(
        does=marked("refreshes {host}"), verb=marked("Refresh"), title=marked("Refresh {name}"),
        steps={"discover": marked("discover")},
        for_administrators=True,
    ),
    OperationKind.REMOVE_HOST: KindWords(
        does=marked("removes {host}"), verb=marked("Remove host"), title=marked("Remove host {name}"),
        steps={
            "check_host": marked("check host"), "close_host": marked("close host"),
            "destroy_machines": marked("delete VMs"), "disconnect": marked("disconnect"),
            "remove_image_copies": marked("remove image copies"), "untrust": marked("untrust"),
        },
        events={"host_removed": marked("hosts removed")},
        for_administrators=True,
    ),
    OperationKind.ROTATE: KindWords(
        does=marked("replaces the key pair of {host}"), verb=marked("Rotate credentials of"),
        title=marked("Rotate credentials of {name}"), kind=marked("Rotate credentials"),
        steps={
            "make_new": marked("make new"), "switch": marked("switch"), "trust_new": marked("trust new"),
            "untrust_old": marked("untrust old"), "verify_new": marked("verify new"),
        },
        events={"credentials_rotated": marked("credentials rotated")},
        for_administrators=True,
    ),
    OperationKind.ADOPT: KindWords(
        does=marked("adopts {machine} on {host}"), verb=marked("Adopt"), title=marked("Adopt {name}"),
        steps={"write_marker": marked("write marker")},
        events={"machine_adopted": marked("VMs adopted"), "adopt_failed": marked("adoptions failed")},
        for_administrators=True,
    ),
    OperationKind.FORGET: KindWords(
        does=marked("forgets {machine} on {host}"), verb=marked("Forget"), title=marked("Forget {name}"),
        steps={"remove_marker": marked("remove marker"), "restore_marker": marked("restore marker")},
        for_administrators=True,
    ),
    OperationKind.CLEAN_UP: KindWords(
        does=marked("removes what is left of {machine} on {host}"), verb=marked("Clean up"),
        title=marked("Clean up {name}"),
        steps={
            "remove_image_copy": marked("remove image copy"), "remove_leftover": marked("remove leftover"),
            "remove_marker_of_copy": marked("remove marker of copy"),
            "remove_orphaned_volumes": marked("remove orphaned volumes"),
        },
        events={
            "image_copy_removed": marked("copies of images removed"),
            "orphaned_volume_removed": marked("orphaned volumes removed"),
        },
        for_administrators=True,
    ),
    OperationKind.DEPLOY: KindWords(
        does=marked("deploys {machine} on {host}"), verb=marked("Deploy"), title=marked("Deploy {name}"),
        steps={
            "claim_image_copy": marked("claim image copy"), "copy_image": marked("copy image"),
            "disk_written": marked("disk written"), "find_image": marked("find image"),
            "read_addresses": marked("read addresses"), "wait_for_report": marked("wait for report"),
        },
        events={
            "machine_deploying": marked("deployments begun"), "machine_deployed": marked("VMs deployed"),
            "rebuild_failed": marked("rebuilds failed"), "deployment_failed": marked("deployments failed"),
        },
        page="deploy",
    ),
    OperationKind.SET_AUTOSTART: KindWords(
        does=marked("sets whether {machine} starts with {host}"), verb=marked("Set autostart of"),
        title=marked("Set autostart of {name}"), kind=marked("Set autostart"),
        steps={"set_autostart": marked("set autostart")},
    ),
    OperationKind.SET_BOOT_DISK: KindWords(
        does=marked("makes {machine} on {host} boot from another disk"), verb=marked("Set boot disk of"),
        title=marked("Set boot disk of {name}"), kind=marked("Set boot disk"),
        steps={"set_boot_disk": marked("set boot disk")},
        events={"boot_disk_set": marked("boot disks set")},
        page="storage",
    ),
    OperationKind.SET_BOOT: KindWords(
        does=marked("sets what {machine} on {host} boots from"), verb=marked("Set boot order of"),
        title=marked("Set boot order of {name}"), kind=marked("Set boot order"),
        steps={
            "check_boot_order": marked("check the boot order"), "set_boot_order": marked("set the boot order"),
            "restore_boot_order": marked("restore the boot order"),
        },
        events={"boot_order_set": marked("boot orders set")},
        page="boot",
    ),
    OperationKind.SET_START_ORDER: KindWords(
        does=marked("sets when {machine} starts with {host}"), verb=marked("Set start order of"),
        title=marked("Set start order of {name}"),
        steps={
            "set_start_order": marked("set the start order"), "restore_start_order": marked("restore the start order"),
        },
        events={"start_order_set": marked("start orders set")},
        page="start-order",
    ),
    OperationKind.INSERT_ISO: KindWords(
        does=marked("inserts an ISO image into {machine} on {host}"), verb=marked("Insert an ISO image into"),
        title=marked("Insert an ISO image into {name}"),
        steps={
            "check_drive": marked("check the drive"), "insert_iso": marked("insert the ISO image"),
            "restore_drive": marked("restore the drive"),
        },
        events={"iso_inserted": marked("ISO images inserted")},
        page="iso",
    ),
    OperationKind.EJECT_ISO: KindWords(
        does=marked("ejects an ISO image from {machine} on {host}"), verb=marked("Eject the ISO image of"),
        title=marked("Eject the ISO image of {name}"),
        steps={"eject_iso": marked("eject the ISO image")},
        events={"iso_ejected": marked("ISO images ejected")},
        page="iso",
    ),
    OperationKind.RESIZE: KindWords(
        does=marked("resizes {machine} on {host}"), verb=marked("Resize"), title=marked("Resize {name}"),
        steps={"resize": marked("resize"), "restore_size": marked("restore size")},
        events={"machine_resized": marked("VMs resized")},
        page="resize",
    ),
    OperationKind.ADD_DISK: KindWords(
        does=marked("adds a disk to {machine} on {host}"), verb=marked("Add a disk to"),
        title=marked("Add a disk to {name}"),
        steps={"attach_disk": marked("attach the disk")},
        events={"machine_disk_added": marked("disks added")},
        page="storage",
    ),
    OperationKind.GROW_DISK: KindWords(
        does=marked("grows a disk of {machine} on {host}"), verb=marked("Grow a disk of"),
        title=marked("Grow a disk of {name}"),
        steps={"grow_disk": marked("grow the disk")},
        events={"machine_disk_grown": marked("disks grown")},
        page="storage",
    ),
    OperationKind.REMOVE_DISK: KindWords(
        does=marked("removes a disk of {machine} on {host}"), verb=marked("Remove a disk of"),
        title=marked("Remove a disk of {name}"),
        steps={"detach_disk": marked("detach the disk"), "remove_volume": marked("delete the volume")},
        events={"machine_disk_removed": marked("disks removed")},
        page="storage",
    ),
    OperationKind.MOVE_DISK: KindWords(
        does=marked("moves a disk of {machine} on {host} to another storage pool"), verb=marked("Move a disk of"),
        title=marked("Move a disk of {name}"),
        steps={
            "copy_disk": marked("copy the disk"), "use_copy": marked("use the copy"), "copy_used": marked("copy used"),
            "remove_source": marked("remove the volume of before"), "remove_copy": marked("remove the copy"),
        },
        events={"machine_disk_moved": marked("disks moved")},
        page="storage",
    ),
    OperationKind.EXPORT: KindWords(
        does=marked("exports {machine} on {host}"), verb=marked("Export"), title=marked("Export {name}"),
        steps={
            "begin_read": marked("prepare the disk to be read"),
            "end_read": marked("delete copies of disks on the host"), "read_disk": marked("read the disk"),
            "finish_file": marked("finish the file"), "delete_file": marked("delete the file"),
        },
        events={"machine_exported": marked("VMs exported")},
        page="export",
    ),
    OperationKind.ADD_NIC: KindWords(
        does=marked("adds a NIC to {machine} on {host}"), verb=marked("Add a NIC to"),
        title=marked("Add a NIC to {name}"),
        steps={"attach_nic": marked("attach the NIC")},
        events={"machine_nic_added": marked("NICs added")},
        page="network",
    ),
    OperationKind.CHANGE_NIC: KindWords(
        does=marked("changes a NIC of {machine} on {host}"), verb=marked("Change a NIC of"),
        title=marked("Change a NIC of {name}"),
        steps={"change_nic": marked("change the NIC"), "restore_nic": marked("change the NIC back")},
        events={"machine_nic_changed": marked("NICs changed")},
        page="network",
    ),
    OperationKind.REMOVE_NIC: KindWords(
        does=marked("removes a NIC of {machine} on {host}"), verb=marked("Remove a NIC of"),
        title=marked("Remove a NIC of {name}"),
        steps={"detach_nic": marked("detach the NIC")},
        events={"machine_nic_removed": marked("NICs removed")},
        page="network",
    ),
    OperationKind.IMPORT: KindWords(
        does=marked("imports what a MAAS knew"), verb=marked("Import from MAAS"), title=marked("Import {name}"),
        steps={
            "import_groups": marked("bring zones, pools and tags"), "import_networks": marked("bring networks"),
            "import_users": marked("bring users"), "import_hosts": marked("add VM hosts"),
            "await_refreshes": marked("wait for VM hosts"), "adopt_machines": marked("adopt VMs"),
            "claim_addresses": marked("claim addresses"),
        },
        for_administrators=True,
    ),
    OperationKind.REGISTER: KindWords(
        does=marked("registers {machine} on {host} in a MAAS"), verb=marked("Register in MAAS"),
        title=marked("Register {name} in MAAS"),
        steps={"register_in_maas": marked("register in MAAS")},
        events={
            "machine_registered": marked("VMs registered in MAAS"),
            "maas_registration_failed": marked("registrations in MAAS failed"),
            "maas_registration_left": marked("records left in MAAS"),
        },
    ),
    OperationKind.UNREGISTER: KindWords(
        does=marked("ends the registration of {machine} in a MAAS"), verb=marked("End the MAAS registration of"),
        title=marked("End the MAAS registration of {name}"),
        steps={
            "remove_from_maas": marked("delete the record in MAAS"), "forget_in_maas": marked("end the registration"),
        },
        events={"machine_unregistered": marked("registrations in MAAS ended")},
    ),
    OperationKind.BULK: KindWords(
        does=marked("acts on {machines}"), verb=marked("Many VMs"), title=marked("Many VMs"),
    ),
}  # fmt: skip
_UNKNOWN = KindWords(does="", verb="", title="")


def words_of(kind: str) -> KindWords:
    """Returns the words of a kind; empty ones for a kind of a newer release."""
    return KIND_WORDS.get(OperationKind.stored(kind), _UNKNOWN)
