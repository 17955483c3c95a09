"""The names of the steps of tasks on pages."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.ui.texts import constant

STEP_WORDS: Mapping[str, str] = {
    "check_host": constant("check host"),
    "claim_image_copy": constant("claim image copy"),
    "close_host": constant("close host"),
    "compose_on_host": constant("compose on host"),
    "copy_image": constant("copy image"),
    "destroy_machines": constant("delete VMs"),
    "disconnect": constant("disconnect"),
    "discover": constant("discover"),
    "disk_written": constant("disk written"),
    "empty_disks": constant("empty disks"),
    "erase": constant("erase"),
    "find_image": constant("find image"),
    "make_new": constant("make new"),
    "power_cycle": constant("power cycle"),
    "power_force_off": constant("power force off"),
    "power_off": constant("power off"),
    "power_on": constant("power on"),
    "read_addresses": constant("read addresses"),
    "release_claims": constant("release claims"),
    "remove_guest": constant("remove guest"),
    "remove_image_copies": constant("remove image copies"),
    "remove_image_copy": constant("remove image copy"),
    "remove_incomplete_guest": constant("remove incomplete guest"),
    "remove_leftover": constant("remove leftover"),
    "remove_marker": constant("remove marker"),
    "remove_marker_of_copy": constant("remove marker of copy"),
    "remove_orphaned_volumes": constant("remove orphaned volumes"),
    "reserve_addresses": constant("reserve addresses"),
    "resize": constant("resize"),
    "attach_disk": constant("attach the disk"),
    "detach_disk": constant("detach the disk"),
    "attach_nic": constant("attach the NIC"),
    "change_nic": constant("change the NIC"),
    "restore_nic": constant("change the NIC back"),
    "detach_nic": constant("detach the NIC"),
    "grow_disk": constant("grow the disk"),
    "remove_volume": constant("delete the volume"),
    "restore_links": constant("restore links"),
    "restore_marker": constant("restore marker"),
    "restore_size": constant("restore size"),
    "set_addresses": constant("set addresses"),
    "set_autostart": constant("set autostart"),
    "set_boot_disk": constant("set boot disk"),
    "set_start_order": constant("set the start order"),
    "restore_start_order": constant("restore the start order"),
    "check_drive": constant("check the drive"),
    "insert_iso": constant("insert the ISO image"),
    "eject_iso": constant("eject the ISO image"),
    "restore_drive": constant("restore the drive"),
    "check_boot_order": constant("check the boot order"),
    "set_boot_order": constant("set the boot order"),
    "restore_boot_order": constant("restore the boot order"),
    "shut_down": constant("shut down"),
    "switch": constant("switch"),
    "trust_new": constant("trust new"),
    "untrust": constant("untrust"),
    "untrust_old": constant("untrust old"),
    "verify_new": constant("verify new"),
    "wait_for_command": constant("wait for command"),
    "wait_for_earlier": constant("wait for earlier"),
    "wait_for_report": constant("wait for report"),
    "write_disk": constant("write disk"),
    "write_marker": constant("write marker"),
}


def step_words(name: str) -> str:
    """Returns the name of a step in the reader's language; that of a step of another release as the API has it."""
    return str(STEP_WORDS.get(name, name.replace("_", " ")))
